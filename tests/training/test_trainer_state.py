"""The state of a training: from it, another trainer goes on with the same bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from stages.training.trainer import Trainer
from stages.training.trainer_state import load_trainer, trainer_to_tensors
from tests.builders import build_gan, build_trainer

SHAPE = (3, 12, 12)
VARIANTS = ("cyclegan", "sngan", "wgan")  # a pool, power iterations, RMSprop; tests/test_train.py takes all


def build(name: str) -> Trainer:
    options: dict[str, Any] = {"gan": {"pool_size": 5}} if name == "cyclegan" else {}  # full after two steps
    return build_trainer(name, build_gan(name, SHAPE, **options), SHAPE)


def take_steps(trainer: Trainer, first: int, last: int) -> dict[str, Tensor]:
    """A copy of the state after these of eight steps, as a file holds it."""
    for step in range(first, last):
        trainer.follow_schedules(step / 8)
        trainer.step()
    return load(save({name: value.contiguous() for name, value in trainer_to_tensors(trainer).items()}))


@pytest.mark.parametrize("name", VARIANTS)
def test_what_goes_on_from_a_state_takes_the_same_steps(name: str) -> None:
    undisturbed = build(name)
    state = take_steps(undisturbed, 0, 3)
    expected = take_steps(undisturbed, 3, 6)
    other = build(name)
    take_steps(other, 0, 1)  # nothing of which may remain
    load_trainer(other, state)
    assert other.images_seen == 12
    found = take_steps(other, 3, 6)
    assert found.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(found[key], expected[key])] == []
    assert other.read_scalars() == undisturbed.read_scalars() != {}  # those that were not read, too
