"""What networks share."""

from __future__ import annotations

import torch

from stages.networks.layers import InstanceNorm


def test_the_instance_norm_is_torchs() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 6, 7, 5) * torch.rand(3, 6, 1, 1) * 9 + torch.randn(3, 6, 1, 1)
    norm = InstanceNorm()
    assert not norm.state_dict()
    torch.testing.assert_close(norm(hidden), torch.nn.InstanceNorm2d(6)(hidden))
