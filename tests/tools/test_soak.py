"""`make soak`: trainings on another clone's data have the same bytes, and a difference ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.faults import small_training
from tests.tools.soak import changing_load, compare, train


def test_two_trainings_have_the_same_bytes_and_a_difference_is_named(tmp_path: Path) -> None:
    clone = small_training(tmp_path / "clone", {"variants.mlp.images.smoke": 3200})
    with changing_load(1, seed=0):
        first, second = (train(clone, tmp_path / str(number), "smoke", "mlp") for number in range(2))
    assert "models/mlp/generator.safetensors" in first
    assert len(first) > 5
    compare(second, first, "mlp")
    changed = second | {"models/mlp/generator.safetensors": b""}
    for found, expected in ((changed, first), (first, changed), ({}, first)):
        with pytest.raises(SystemExit, match=r"soak: mlp: m\S+ differs from that of the first training"):
            compare(found, expected, "mlp")
