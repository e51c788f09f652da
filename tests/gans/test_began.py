"""Boundary equilibrium: the losses and the steering of k by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.builders import build_gan, real_batch


def build(reuse_fakes: bool = False, **options: Any) -> Any:
    """With an exact k: no penalty, errors not divided by ink."""
    return build_gan(
        "began", reuse_fakes=reuse_fakes, gan=options, network={"ink_power": 0.0}, regularizer={"name": "none"}
    )


def errors(gan: Any, images: torch.Tensor) -> float:
    with torch.no_grad():
        return (images - gan.discriminator.reconstruct(images)).abs().mean().item()


def test_losses_are_reconstruction_errors_weighed_by_k() -> None:
    gan = build(diversity=0.5, reuse_fakes=True)
    gan.k.fill_(0.3)
    real, labels = real_batch(5)
    losses = gan.discriminator_loss(real, labels)
    fake = gan._last_fakes.images.detach()
    of_real, of_fake = errors(gan, real), errors(gan, fake)
    assert losses.loss.item() == pytest.approx(of_real - 0.3 * of_fake, rel=1e-4)
    assert losses.scalars["discriminator_loss"].item() == pytest.approx(losses.loss.item(), rel=1e-4)
    assert losses.scalars["k"].item() == pytest.approx(0.3)
    assert losses.scalars["convergence"].item() == pytest.approx(of_real + abs(0.5 * of_real - of_fake), rel=1e-4)
    assert gan.generator_loss(real, labels).loss.item() == pytest.approx(of_fake, rel=1e-4)


@pytest.mark.parametrize(("errors_now", "k", "expected"), [((0.4, 0.1), 0.3, 0.32), ((0.2, 0.3), 0.3, 0.28)])
def test_k_moves_towards_the_ratio_of_errors(errors_now: tuple[float, float], k: float, expected: float) -> None:
    gan = build(diversity=0.5, k_rate=0.2 if errors_now[0] == 0.4 else 0.1)
    gan.k.fill_(k)
    gan.errors.copy_(torch.tensor(errors_now))
    gan.after_discriminator_step()
    assert gan.k.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("errors_now", "bound"), [((1.0, 0.0), 1.0), ((0.0, 1.0), 0.0)])
def test_k_stays_between_zero_and_one(errors_now: tuple[float, float], bound: float) -> None:
    gan = build(k_rate=50.0)
    gan.errors.copy_(torch.tensor(errors_now))
    gan.after_discriminator_step()
    assert gan.k.item() == bound


def test_k_is_part_of_the_state() -> None:
    gan, other = build(), build()
    gan.k.fill_(0.7)
    other.load_state_dict(gan.state_dict())
    assert other.k == gan.k
