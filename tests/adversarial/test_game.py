"""The standard game: what each loss is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stages.adversarial.game import Game
from stages.support.params import PartChoice, load
from stages.support.parts import build_part, build_parts

SHAPE = (1, 28, 28)


def game(name: str = "cgan", **parts: dict[str, Any]) -> Game:
    torch.manual_seed(0)
    built = build_parts(name, load().variants[name])
    built |= {role: build_part(role, PartChoice(**choice), "test") for role, choice in parts.items()}
    rules = built.pop("game")
    return rules.build(**built, image_shape=SHAPE, classes=10)


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, *SHAPE, generator=generator) * 2 - 1, torch.arange(count) % 10


def test_the_loss_is_the_objectives_and_the_penalty() -> None:
    losses = game(regularizer={"name": "r1", "weight": 5.0, "interval": 1}).discriminator_loss(*batch())
    scalars = losses.scalars
    assert scalars["penalty"] > 0
    assert losses.loss.item() == pytest.approx((scalars["discriminator_loss"] + scalars["penalty"]).item())


def test_the_penalty_is_taken_in_due_rounds_only() -> None:
    playing = game(regularizer={"name": "r1", "weight": 5.0, "interval": 3})
    taken = [playing.discriminator_loss(*batch()).scalars["penalty"].item() > 0 for _ in range(6)]
    assert taken == [True, False, False, True, False, False]


def test_fakes_are_asked_for_and_judged_by_the_batchs_labels() -> None:
    playing = game()
    asked: dict[str, list[Tensor]] = {"generator": [], "discriminator": []}
    for player, seen in asked.items():
        module = getattr(playing, player)
        module.register_forward_hook(lambda _module, arguments, _output, seen=seen: seen.append(arguments[1]))
    images, labels = batch()
    playing.discriminator_loss(images, labels)
    playing.generator_loss(images, labels)
    assert len(asked["generator"]) == 2
    assert len(asked["discriminator"]) == 3  # real, fake; fake
    assert all(torch.equal(seen, labels) for calls in asked.values() for seen in calls)


def test_each_step_draws_new_fakes() -> None:
    playing = game("dcgan")
    drawn: list[Tensor] = []
    playing.generator.register_forward_hook(lambda _module, _arguments, output: drawn.append(output))
    playing.discriminator_loss(*batch())
    playing.generator_loss(*batch())
    assert not torch.allclose(drawn[0], drawn[1])
