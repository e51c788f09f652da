"""What regularizers share: when a lazy penalty is taken, and gradients in images."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.contracts.regularizer import DiscriminatorOutputs, LazyRegularizer, Regularizer, input_gradient
from stages.regularizers.none import NoPenalty


class Constant(LazyRegularizer):
    """A penalty of 7."""

    def value(self, outputs: DiscriminatorOutputs) -> Tensor:
        return torch.tensor(7.0)


def outputs() -> DiscriminatorOutputs:
    images = torch.zeros(2, 1, 3, 3)
    return DiscriminatorOutputs(lambda x: x.flatten(1), images, images, images, images)


def test_a_lazy_penalty_is_taken_in_one_of_many_steps_and_weighs_as_much_on_average() -> None:
    lazy = Constant(name="constant", weight=0.5, interval=4)
    assert [lazy.is_due(step) for step in range(9)] == [True, False, False, False] * 2 + [True]
    assert lazy.penalty(outputs()) == 0.5 * 4 * 7
    assert not Constant(name="constant", weight=0.0, interval=1).is_due(0)


def test_a_penalty_that_is_not_lazy_is_always_due() -> None:
    plain: Regularizer = NoPenalty(name="none")
    assert all(plain.is_due(step) for step in range(3))


def test_the_input_gradient_is_each_images_own_and_differentiable() -> None:
    images = torch.randn(4, 2, 3, 3, requires_grad=True)
    gradient = input_gradient((images**3).flatten(1).sum(1, keepdim=True), images)
    torch.testing.assert_close(gradient, (3 * images**2).flatten(1))
    (again,) = torch.autograd.grad(gradient.sum(), images)
    torch.testing.assert_close(again, 6 * images)
