"""Every objective against values computed by hand from its paper's formula."""

from __future__ import annotations

from importlib import import_module
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parent.parent.parent / "stages" / "objectives"
NAMES = sorted(file.stem for file in FOLDER.glob("[!_]*.py"))

# logits of the probabilities 3/4 and 1/2, and of 1/4 and 9/10: no sum is zero, so no sign can hide
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
    "hinge": ((0 + 1) / 2 + (0 + 1 + 2 * log(3)) / 2, -log(3) / 2),
}


def objective(name: str) -> Any:
    return import_module(f"stages.objectives.{name}").Objective(name=name)


def test_every_objective_has_its_values_by_hand() -> None:
    assert sorted(BY_HAND) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_the_papers(name: str) -> None:
    discriminator, generator = BY_HAND[name]
    assert objective(name).discriminator_loss(REAL, FAKE).item() == pytest.approx(discriminator, abs=1e-6)
    assert objective(name).generator_loss(None, FAKE).item() == pytest.approx(generator, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_of_logits_counts_every_pixel(name: str) -> None:
    pixels = torch.stack([FAKE, FAKE], dim=2)
    assert objective(name).generator_loss(None, pixels).item() == pytest.approx(BY_HAND[name][1], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_large_logits_stay_finite(name: str) -> None:
    huge = torch.tensor([[1e4], [-1e4]])
    assert objective(name).discriminator_loss(huge, huge).isfinite()
    assert objective(name).generator_loss(None, huge).isfinite()


def test_minimax_saturates_where_non_saturating_does_not() -> None:
    gradients = {}
    for name in ("minimax", "non_saturating"):
        rejected = torch.full((4, 1), -10.0, requires_grad=True)
        objective(name).generator_loss(None, rejected).backward()
        gradients[name] = rejected.grad.abs().sum().item()  # type: ignore[union-attr]
    assert gradients["minimax"] < 1e-4
    assert gradients["non_saturating"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_both_players_pull_in_their_own_direction(name: str) -> None:
    real = torch.zeros(4, 1, requires_grad=True)
    fake = torch.zeros(4, 1, requires_grad=True)
    objective(name).discriminator_loss(real, fake).backward()
    assert real.grad is not None
    assert real.grad.max() < 0  # descent raises real logits
    if name != "least_squares":  # whose fakes rest at its target, 0
        assert fake.grad is not None
        assert fake.grad.min() > 0  # and lowers fake ones
    again = torch.zeros(4, 1, requires_grad=True)
    objective(name).generator_loss(None, again).backward()
    assert again.grad is not None
    assert again.grad.max() < 0  # the generator raises them
