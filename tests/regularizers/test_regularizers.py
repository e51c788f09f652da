"""Penalties on critics of known slope: per image, never per batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.contracts.regularizer import DiscriminatorOutputs
from stages.regularizers import dragan, gradient_penalty, none, r1, r1_r2, weight_clip
from tests.builders import PARAMS, build_trainer

SHAPE = (4, 1, 3, 3)


def outputs_of(critic, real: Tensor, fake: Tensor) -> DiscriminatorOutputs:  # type: ignore[no-untyped-def]
    real, fake = real.requires_grad_(), fake.requires_grad_()
    return DiscriminatorOutputs(critic, real, fake, critic(real), critic(fake))


def images(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def linear_critic(slope: float):  # type: ignore[no-untyped-def]
    """Gradient of norm `slope` at every image: 9 pixels with weight slope / 3 each."""
    return lambda x: x.flatten(1).sum(1, keepdim=True) * slope / 3


def test_none_is_zero() -> None:
    assert none.NoPenalty(name="none").penalty(outputs_of(linear_critic(5), images(0), images(1))).item() == 0


@pytest.mark.parametrize(("slope", "expected"), [(1.0, 0.0), (3.0, 10 * 4.0), (0.0, 10 * 1.0)])
def test_gradient_penalty_of_a_linear_critic(slope: float, expected: float) -> None:
    regularizer = gradient_penalty.GradientPenalty(name="gradient_penalty", weight=10.0, interval=1)
    penalty = regularizer.penalty(outputs_of(linear_critic(slope), images(0), images(1)))
    assert penalty.item() == pytest.approx(expected, abs=1e-4)


def test_r1_of_a_linear_critic() -> None:
    regularizer = r1.R1(name="r1", weight=0.5, interval=1)
    penalty = regularizer.penalty(outputs_of(linear_critic(3), images(0), images(1)))
    assert penalty.item() == pytest.approx(0.5 / 2 * 9)


def test_gradient_penalty_takes_each_images_own_norm() -> None:
    # slopes 0 and 2, one per image: (0-1)² and (2-1)² average to 1; a norm over the batch would give another number
    slopes = torch.tensor([0.0, 2.0, 0.0, 2.0])

    def critic(x: Tensor) -> Tensor:
        return x.flatten(1).sum(1) * slopes / 3

    regularizer = gradient_penalty.GradientPenalty(name="gradient_penalty", weight=1.0, interval=1)
    assert regularizer.penalty(outputs_of(critic, images(0), images(1))).item() == pytest.approx(1, abs=1e-5)


def test_gradient_penalty_looks_between_real_and_fake() -> None:
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    real, fake = torch.zeros(SHAPE), torch.ones(SHAPE)
    gradient_penalty.GradientPenalty(name="gradient_penalty", weight=1.0, interval=1).penalty(
        outputs_of(critic, real, fake)
    )
    between = seen[-1].flatten(1)
    assert (between > 0).all()
    assert (between < 1).all()
    assert (between == between[:, :1]).all()  # one share per image, the same for all its pixels
    assert len(between[:, 0].unique()) == SHAPE[0]  # another share for each image


@pytest.mark.parametrize(
    "kind",
    [
        lambda interval: r1.R1(name="r1", weight=0.5, interval=interval),
        lambda interval: r1_r2.R1R2(name="r1_r2", weight=0.5, interval=interval),
        lambda interval: dragan.DRAGAN(name="dragan", weight=0.5, noise_scale=0.5, interval=interval),
        lambda interval: gradient_penalty.GradientPenalty(name="gradient_penalty", weight=0.5, interval=interval),
    ],
)
def test_a_penalty_in_one_of_many_rounds_weighs_the_same_on_average(kind) -> None:  # type: ignore[no-untyped-def]
    always, seldom = kind(1), kind(4)
    outputs = outputs_of(linear_critic(3), images(0), images(1))
    due = [seldom.is_due(index) for index in range(8)]
    assert due == [True, False, False, False] * 2
    assert all(always.is_due(index) for index in range(8))
    assert not any(r1.R1(name="r1", weight=0.0, interval=1).is_due(index) for index in range(8))
    total = sum(due) * seldom.penalty(outputs).item()
    assert total == pytest.approx(8 * always.penalty(outputs).item())


def test_r1_of_a_quadratic_critic_is_at_the_real_images() -> None:
    def critic(x: Tensor) -> Tensor:
        return x.flatten(1).square().sum(1) / 2  # gradient x

    real = images(2)
    penalty = r1.R1(name="r1", weight=2.0, interval=1).penalty(outputs_of(critic, real, images(3)))
    assert penalty.item() == pytest.approx(real.detach().flatten(1).square().sum(1).mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    "regularizer",
    [
        r1.R1(name="r1", weight=1.0, interval=1),
        r1_r2.R1R2(name="r1_r2", weight=1.0, interval=1),
        dragan.DRAGAN(name="dragan", weight=1.0, noise_scale=0.5, interval=1),
        gradient_penalty.GradientPenalty(name="gradient_penalty", weight=1.0, interval=1),
    ],
)
def test_penalties_can_be_descended(regularizer) -> None:  # type: ignore[no-untyped-def]
    weight = torch.full((9,), 2.0, requires_grad=True)
    penalty = regularizer.penalty(outputs_of(lambda x: x.flatten(1) @ weight, images(0), images(1)))
    penalty.backward()
    assert weight.grad is not None
    assert weight.grad.min() > 0


def test_r1_r2_of_a_quadratic_critic_counts_real_and_fake() -> None:
    def critic(x: Tensor) -> Tensor:
        return x.flatten(1).square().sum(1) / 2  # gradient x

    real, fake = images(2), images(3) * 2
    penalty = r1_r2.R1R2(name="r1_r2", weight=0.5, interval=1).penalty(outputs_of(critic, real, fake))
    expected = sum(0.5 / 2 * x.detach().flatten(1).square().sum(1).mean().item() for x in (real, fake))
    assert penalty.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("slope", "expected"), [(1.0, 0.0), (3.0, 10 * 4.0), (0.0, 10 * 1.0)])
def test_dragan_of_a_linear_critic(slope: float, expected: float) -> None:
    regularizer = dragan.DRAGAN(name="dragan", weight=10.0, noise_scale=0.5, interval=1)
    penalty = regularizer.penalty(outputs_of(linear_critic(slope), images(0), images(1)))
    assert penalty.item() == pytest.approx(expected, abs=1e-4)


def test_dragan_looks_around_real_images_as_far_as_half_their_deviation() -> None:
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    real = torch.randn(64, 1, 9, 9, generator=torch.Generator().manual_seed(0)) * 3
    dragan.DRAGAN(name="dragan", weight=1.0, noise_scale=0.5, interval=1).penalty(
        outputs_of(critic, real, real * 0 + 99)
    )
    away = (seen[-1] - real) / real.std()
    assert away.min() >= 0
    assert away.max() <= 0.5
    assert away.mean().item() == pytest.approx(0.25, abs=0.01)
    assert away[0].unique().numel() == 81  # every pixel has noise of its own


def test_weights_stay_within_the_clip_after_every_step() -> None:
    trainer = build_trainer("wgan")
    gan = trainer.gan
    largest = torch.tensor(PARAMS.variants["wgan"].regularizer.clip_value).item()  # in float32
    with torch.no_grad():
        gan.generator.start.weight.mul_(100)  # type: ignore[union-attr, operator]
    assert max(weight.abs().max().item() for weight in gan.discriminator.parameters()) > largest
    for _ in range(5):
        trainer.step()
        assert max(weight.abs().max().item() for weight in gan.discriminator.parameters()) <= largest
    assert max(weight.abs().max() for weight in gan.generator.parameters()) > largest  # clipping is the critic's alone


def test_weight_clipping_clamps_and_rounds_nothing_else() -> None:
    layer = torch.nn.Linear(3, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-0.5, 0.01, 0.3]]))
        layer.bias.fill_(0.02)
    weight_clip.WeightClip(name="weight_clip", clip_value=0.1).after_discriminator_step(layer)
    assert layer.weight.tolist() == [[pytest.approx(-0.1), pytest.approx(0.01), pytest.approx(0.1)]]
    assert layer.bias.item() == pytest.approx(0.02)
