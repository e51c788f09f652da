"""What objectives share, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from stages.contracts.objective import cross_entropy


@pytest.mark.parametrize("target", [0.0, 0.1, 0.9, 1.0])
def test_the_cross_entropy_is_torchs_over_logits_of_any_shape(target: float) -> None:
    logits = torch.randn(5, 1, 3, 3) * 20
    expected = binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
    torch.testing.assert_close(cross_entropy(logits, target), expected)
