"""Curves whose story is known, and a discriminator that really wins."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.evaluation.curves import gradient_left, rises
from stages.training.batches import Batches
from stages.training.trainer import Trainer
from tests.builders import build_gan, hyperparameters


def test_gradient_left_compares_tenths_of_a_training() -> None:
    assert gradient_left(np.full(100, 0.3)) == 1
    assert gradient_left(np.r_[np.full(50, 2.0), np.full(50, 0.01)]) == pytest.approx(0.005)
    spike = np.full(100, 1.0)
    spike[3] = 1e6  # one reading is no trend
    assert gradient_left(spike) == 1
    assert gradient_left(np.zeros(100)) == 0
    assert gradient_left(np.array([1.0, 0.5])) == 0.5  # fewer readings than tenths


def test_rises_count_steps_up_by_a_quarter() -> None:
    assert rises([80, 40, 20, 10, 9, 8]) == 0
    assert rises([80, 20, 26, 10, 12, 9]) == 1
    assert rises([20, 10, 25, 9, 22, 8, 30]) == 3


@pytest.mark.parametrize(("objective", "vanishes"), [("minimax", True), ("non_saturating", False)])
def test_a_discriminator_that_wins_leaves_a_minimax_generator_without_gradient(objective: str, vanishes: bool) -> None:
    """The case that Goodfellow et al. (2014, section 3) warn of, played on data that are easy to tell from fakes."""
    chosen = {"name": objective, "real_target": 1.0, "fake_target": 0.0}
    gan = build_gan("mlp", (1, 8, 8), objective=chosen, regularizer={"name": "none"})
    images = torch.randint(0, 2, (512, 1, 8, 8), dtype=torch.uint8) * 255
    batches = Batches(images, torch.zeros(512, dtype=torch.int64), 64)
    trainer = Trainer(gan, batches, hyperparameters("mlp", critic_steps=5))
    gradients = [trainer.read_scalars()["generator_gradient"] for _ in trainer.train(64 * 300)]
    assert (gradient_left(np.array(gradients)) < 0.01) == vanishes
