"""Boundary equilibrium: the losses and the steering of k by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from stages.adversarial.parts import build_parts
from stages.networks.began import Convolutional, FullyConnected
from stages.regularizers import none
from stages.settings.params import load

SHAPE = (1, 28, 28)


def playing(ink_power: float = 0.0, widths: Sequence[int] = (), **changes: Any) -> Any:
    torch.manual_seed(0)
    parts = build_parts("began", load().variants["began"]) | {"regularizer": none.Regularizer(name="none")}
    autoencoder = (
        FullyConnected(name="fully_connected", widths=list(widths))
        if widths
        else Convolutional(name="convolutional", channels=16)
    )
    parts["network"] = parts["network"].model_copy(update={"ink_power": ink_power, "autoencoder": autoencoder})
    rules = parts.pop("game").model_copy(update=changes)
    return rules.build(**parts, image_shape=SHAPE, classes=10)


def errors(game: Any, images: torch.Tensor) -> float:
    with torch.no_grad():
        return (images - game.discriminator.reconstruct(images)).abs().mean().item()


def test_losses_are_reconstruction_errors_weighed_by_k() -> None:
    game = playing(diversity=0.5, generator_fakes="reused")
    game.k.fill_(0.3)
    real, labels = torch.rand(5, *SHAPE) * 2 - 1, torch.zeros(5, dtype=torch.int64)
    losses = game.discriminator_loss(real, labels)
    fake = game._last_fakes.images.detach()
    of_real, of_fake = errors(game, real), errors(game, fake)
    assert losses.loss.item() == pytest.approx(of_real - 0.3 * of_fake, rel=1e-4)
    assert losses.scalars["discriminator_loss"].item() == pytest.approx(losses.loss.item(), rel=1e-4)
    assert losses.scalars["k"].item() == pytest.approx(0.3)
    assert losses.scalars["convergence"].item() == pytest.approx(of_real + abs(0.5 * of_real - of_fake), rel=1e-4)
    assert game.generator_loss(real, labels).loss.item() == pytest.approx(of_fake, rel=1e-4)


@pytest.mark.parametrize(("errors_now", "k", "expected"), [((0.4, 0.1), 0.3, 0.32), ((0.2, 0.3), 0.3, 0.28)])
def test_k_moves_towards_the_ratio_of_errors(errors_now: tuple[float, float], k: float, expected: float) -> None:
    game = playing(diversity=0.5, k_rate=0.2 if errors_now[0] == 0.4 else 0.1)
    game.k.fill_(k)
    game.errors.copy_(torch.tensor(errors_now))
    game.after_discriminator_step()
    assert game.k.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("errors_now", "bound"), [((1.0, 0.0), 1.0), ((0.0, 1.0), 0.0)])
def test_k_stays_between_zero_and_one(errors_now: tuple[float, float], bound: float) -> None:
    game = playing(k_rate=50.0)
    game.errors.copy_(torch.tensor(errors_now))
    game.after_discriminator_step()
    assert game.k.item() == bound


@pytest.mark.parametrize("widths", [(), (30, 20)])
def test_an_error_counts_by_the_ink_there_is(widths: tuple[int, ...]) -> None:
    games = [playing(power, widths) for power in (0.0, 0.5, 1.0)]  # the same weights: one seed
    images = torch.stack([torch.full(SHAPE, -1.0), torch.full(SHAPE, -0.5), torch.full(SHAPE, 1.0)])
    labels = torch.zeros(3, dtype=torch.int64)
    plain, root, relative = (game.judge(images, labels).squeeze(1) for game in games)
    ink = torch.tensor([0.05, 0.55, 2.05])
    assert torch.allclose(plain / ink, relative)
    assert torch.allclose(plain / ink.sqrt(), root)


@pytest.mark.parametrize("widths", [(), (30, 20)])
def test_every_image_is_judged_by_its_own_error(widths: tuple[int, ...]) -> None:
    game = playing(0.5, widths)
    images = torch.rand(3, *SHAPE) * 2 - 1
    logits = game.judge(images, torch.zeros(3, dtype=torch.int64))
    alone = torch.cat([game.judge(image[None], torch.zeros(1, dtype=torch.int64)) for image in images])
    assert torch.allclose(logits, alone, atol=1e-6)
    assert (logits < 0).all()
