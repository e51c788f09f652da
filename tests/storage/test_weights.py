"""Weights: what is written comes back, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from stages.config.errors import StageError
from stages.storage.files import write_bytes
from stages.storage.weights import prefixed, read_tensors, read_weights, unprefixed, weights_to_bytes

CPU = torch.device("cpu")


def test_weights_and_buffers_come_back_to_the_bit_and_evaluate(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    module(torch.randn(4, 2, 5, 5))  # moves the statistics
    write_bytes(tmp_path / "weights", weights_to_bytes(module))
    other = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    read_weights(other, tmp_path / "weights", CPU)
    assert not other.training
    expected = module.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in other.state_dict().items())
    assert read_tensors(tmp_path / "weights").keys() == expected.keys()


def test_the_bytes_do_not_depend_on_the_memory_format() -> None:
    module = nn.Conv2d(2, 3, 3)
    before = weights_to_bytes(module)
    assert weights_to_bytes(module.to(memory_format=torch.channels_last)) == before


def test_weights_of_another_network_are_refused_in_one_line(tmp_path: Path) -> None:
    write_bytes(tmp_path / "weights", weights_to_bytes(nn.Linear(2, 3)))
    with pytest.raises(StageError, match=r"weights: does not fit its config\.json: ") as error:
        read_weights(nn.Linear(3, 3), tmp_path / "weights", CPU)
    assert "\n" not in str(error.value)
    write_bytes(tmp_path / "weights", b"\x80\x04N.")
    with pytest.raises(StageError, match="cannot be read"):
        read_tensors(tmp_path / "weights")


def test_a_prefix_is_put_on_and_taken_off() -> None:
    tensors = {"a": torch.zeros(1), "b.c": torch.ones(1)}
    both = prefixed("x", tensors) | prefixed("xy", {"a": torch.ones(2)})
    assert list(both) == ["x.a", "x.b.c", "xy.a"]
    assert unprefixed("x", both) == tensors
