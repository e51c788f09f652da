"""Penalties on critics of known slope: per image, never per batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.adversarial.roles import Judgement
from stages.regularizers import gradient_penalty, none, r1

SHAPE = (4, 1, 3, 3)


def judge(critic, real: Tensor, fake: Tensor) -> Judgement:  # type: ignore[no-untyped-def]
    real, fake = real.requires_grad_(), fake.requires_grad_()
    return Judgement(critic, real, fake, critic(real), critic(fake))


def images(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def linear_critic(slope: float):  # type: ignore[no-untyped-def]
    """Gradient of norm `slope` at every image: 9 pixels with weight slope / 3 each."""
    return lambda x: x.flatten(1).sum(1, keepdim=True) * slope / 3


def test_none_is_zero() -> None:
    assert none.Regularizer(name="none").penalty(judge(linear_critic(5), images(0), images(1))).item() == 0


@pytest.mark.parametrize(("slope", "expected"), [(1.0, 0.0), (3.0, 10 * 4.0), (0.0, 10 * 1.0)])
def test_gradient_penalty_of_a_linear_critic(slope: float, expected: float) -> None:
    regularizer = gradient_penalty.Regularizer(name="gradient_penalty", weight=10.0)
    penalty = regularizer.penalty(judge(linear_critic(slope), images(0), images(1)))
    assert penalty.item() == pytest.approx(expected, abs=1e-4)


def test_r1_of_a_linear_critic() -> None:
    regularizer = r1.Regularizer(name="r1", weight=0.5, interval=1)
    penalty = regularizer.penalty(judge(linear_critic(3), images(0), images(1)))
    assert penalty.item() == pytest.approx(0.5 / 2 * 9)


def test_gradient_penalty_takes_each_images_own_norm() -> None:
    # slopes 0 and 2 an image: (0-1)² and (2-1)² average to 1; a norm over the batch would give another number
    slopes = torch.tensor([0.0, 2.0, 0.0, 2.0])

    def critic(x: Tensor) -> Tensor:
        return x.flatten(1).sum(1) * slopes / 3

    regularizer = gradient_penalty.Regularizer(name="gradient_penalty", weight=1.0)
    assert regularizer.penalty(judge(critic, images(0), images(1))).item() == pytest.approx(1, abs=1e-5)


def test_gradient_penalty_looks_between_real_and_fake() -> None:
    seen = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    real, fake = torch.zeros(SHAPE), torch.ones(SHAPE)
    gradient_penalty.Regularizer(name="gradient_penalty", weight=1.0).penalty(judge(critic, real, fake))
    between = seen[-1].flatten(1)
    assert (between > 0).all()
    assert (between < 1).all()
    assert (between == between[:, :1]).all()  # one share an image, the same for all its pixels
    assert len(between[:, 0].unique()) == SHAPE[0]  # another share for each image


def test_r1_in_one_of_many_rounds_weighs_the_same_on_average() -> None:
    always, seldom = (r1.Regularizer(name="r1", weight=0.5, interval=interval) for interval in (1, 4))
    judgement = judge(linear_critic(3), images(0), images(1))
    due = [seldom.is_due(index) for index in range(8)]
    assert due == [True, False, False, False] * 2
    assert all(always.is_due(index) for index in range(8))
    total = sum(due) * seldom.penalty(judgement).item()
    assert total == pytest.approx(8 * always.penalty(judgement).item())


def test_r1_of_a_quadratic_critic_is_at_the_real_images() -> None:
    def critic(x: Tensor) -> Tensor:
        return x.flatten(1).square().sum(1) / 2  # gradient x

    real = images(2)
    penalty = r1.Regularizer(name="r1", weight=2.0, interval=1).penalty(judge(critic, real, images(3)))
    assert penalty.item() == pytest.approx(real.detach().flatten(1).square().sum(1).mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    "regularizer",
    [
        r1.Regularizer(name="r1", weight=1.0, interval=1),
        gradient_penalty.Regularizer(name="gradient_penalty", weight=1.0),
    ],
)
def test_penalties_can_be_descended(regularizer) -> None:  # type: ignore[no-untyped-def]
    weight = torch.full((9,), 2.0, requires_grad=True)
    penalty = regularizer.penalty(judge(lambda x: x.flatten(1) @ weight, images(0), images(1)))
    penalty.backward()
    assert weight.grad is not None
    assert weight.grad.min() > 0
