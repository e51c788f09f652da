"""Every objective against values computed by hand from its paper's formula."""

from __future__ import annotations

from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.config.components import Component
from stages.config.registry import find_class

FOLDER = Path(__file__).parent.parent.parent / "stages" / "objectives"
NAMES = sorted(file.stem for file in FOLDER.glob("[!_]*.py"))

# logits of the probabilities 3/4 and 1/2, and of 1/4 and 9/10
REAL = torch.tensor([[log(3)], [0.0]])
FAKE = torch.tensor([[-log(3)], [2 * log(3)]])
BY_HAND = {
    # name: (discriminator, generator)
    "minimax": (
        -(log(3 / 4) + log(1 / 2)) / 2 - (log(3 / 4) + log(1 / 10)) / 2,
        (log(3 / 4) + log(1 / 10)) / 2,
    ),
    "non_saturating": (
        -(log(3 / 4) + log(1 / 2)) / 2 - (log(3 / 4) + log(1 / 10)) / 2,
        -(log(1 / 4) + log(9 / 10)) / 2,
    ),
    "least_squares": (
        ((log(3) - 1) ** 2 + 1) / 4 + (log(3) ** 2 + (2 * log(3)) ** 2) / 4,
        ((-log(3) - 1) ** 2 + (2 * log(3) - 1) ** 2) / 4,
    ),
    "wasserstein": (0.0, -log(3) / 2),
    # pairs: fake - real is -2 log 3 and 2 log 3
    "relativistic": ((log(1 + 1 / 9) + log(1 + 9)) / 2, (log(1 + 9) + log(1 + 1 / 9)) / 2),
    "hinge": ((0 + 1) / 2 + (0 + 1 + 2 * log(3)) / 2, -log(3) / 2),
}


SMOOTHED = ("minimax", "non_saturating", "least_squares")


def objective(name: str, real_target: float = 1.0, fake_target: float = 0.0) -> Any:
    targets = {"real_target": real_target, "fake_target": fake_target} if name in SMOOTHED else {}
    return find_class("objectives", name, Component)(name=name, **targets)


def test_every_objective_has_its_values_by_hand() -> None:
    assert sorted(BY_HAND) == NAMES


def test_signs_and_factors_do_not_hide_where_sums_above_are_zero_or_equal() -> None:
    assert objective("wasserstein").discriminator_loss(REAL, FAKE + 1).item() == pytest.approx(1, abs=1e-6)
    relativistic = objective("relativistic")  # fake - real is now -2 log 3 + 1 and 2 log 3 + 1
    differences = [-2 * log(3) + 1, 2 * log(3) + 1]
    discriminator = sum(log(1 + exp(difference)) for difference in differences) / 2
    generator = sum(log(1 + exp(-difference)) for difference in differences) / 2
    assert relativistic.discriminator_loss(REAL, FAKE + 1).item() == pytest.approx(discriminator, abs=1e-6)
    assert relativistic.generator_loss(REAL, FAKE + 1).item() == pytest.approx(generator, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_the_papers(name: str) -> None:
    discriminator, generator = BY_HAND[name]
    assert objective(name).discriminator_loss(REAL, FAKE).item() == pytest.approx(discriminator, abs=1e-6)
    assert objective(name).generator_loss(REAL, FAKE).item() == pytest.approx(generator, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_of_logits_counts_every_pixel(name: str) -> None:
    pixels = torch.stack([FAKE, FAKE], dim=2)
    assert objective(name).generator_loss(torch.stack([REAL, REAL], dim=2), pixels).item() == pytest.approx(
        BY_HAND[name][1], abs=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_large_logits_stay_finite(name: str) -> None:
    huge = torch.tensor([[1e4], [-1e4]])
    assert objective(name).discriminator_loss(huge, huge).isfinite()
    assert objective(name).generator_loss(huge, huge).isfinite()


def test_minimax_saturates_where_non_saturating_does_not() -> None:
    gradients = {}
    for name in ("minimax", "non_saturating"):
        rejected = torch.full((4, 1), -10.0, requires_grad=True)
        objective(name).generator_loss(None, rejected).backward()
        gradients[name] = rejected.grad.abs().sum().item()  # type: ignore[union-attr]
    assert gradients["minimax"] < 1e-4
    assert gradients["non_saturating"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_both_networks_pull_in_their_own_direction(name: str) -> None:
    real = torch.zeros(4, 1, requires_grad=True)
    fake = torch.zeros(4, 1, requires_grad=True)
    objective(name).discriminator_loss(real, fake).backward()
    assert real.grad is not None
    assert real.grad.max() < 0  # descent raises real logits
    if name != "least_squares":  # whose fakes rest at its target, 0
        assert fake.grad is not None
        assert fake.grad.min() > 0  # and lowers fake ones
    again = torch.zeros(4, 1, requires_grad=True)
    objective(name).generator_loss(torch.zeros(4, 1), again).backward()
    assert again.grad is not None
    assert again.grad.max() < 0  # the generator raises them


@pytest.mark.parametrize(("real_target", "fake_target"), [(0.9, 0.0), (0.9, 0.1), (0.7, 0.3)])
def test_label_smoothing_moves_the_discriminators_targets_alone(real_target: float, fake_target: float) -> None:
    def entropy(target: float, probability: float) -> float:
        return -target * log(probability) - (1 - target) * log(1 - probability)

    real = (entropy(real_target, 3 / 4) + entropy(real_target, 1 / 2)) / 2
    fake = (entropy(fake_target, 1 / 4) + entropy(fake_target, 9 / 10)) / 2
    for name in ("minimax", "non_saturating"):
        smoothed = objective(name, real_target, fake_target)
        assert smoothed.discriminator_loss(REAL, FAKE).item() == pytest.approx(real + fake, abs=1e-6)
        assert smoothed.generator_loss(REAL, FAKE) == objective(name).generator_loss(REAL, FAKE)
    squares = ((log(3) - real_target) ** 2 + real_target**2) / 4
    squares += ((-log(3) - fake_target) ** 2 + (2 * log(3) - fake_target) ** 2) / 4
    smoothed = objective("least_squares", real_target, fake_target)
    assert smoothed.discriminator_loss(REAL, FAKE).item() == pytest.approx(squares, abs=1e-6)
    assert smoothed.generator_loss(REAL, FAKE) == objective("least_squares").generator_loss(REAL, FAKE)


def test_a_smoothed_discriminator_rests_at_its_target() -> None:
    logit = torch.tensor([[log(9)]], requires_grad=True)  # of probability 0.9
    objective("non_saturating", 0.9).discriminator_loss(logit, torch.zeros(1, 1)).backward()
    assert logit.grad is not None
    assert logit.grad.item() == pytest.approx(0, abs=1e-6)


def test_relativistic_losses_count_differences_of_a_pair_alone() -> None:
    relativistic = objective("relativistic")
    for loss in (relativistic.discriminator_loss, relativistic.generator_loss):
        assert loss(REAL + 5, FAKE + 5).item() == pytest.approx(loss(REAL, FAKE).item(), abs=1e-6)
    with pytest.raises(ValueError, match="real logits"):
        relativistic.generator_loss(None, FAKE)
