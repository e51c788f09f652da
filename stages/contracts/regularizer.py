"""The contract of regularizers: penalties on the discriminator.

A file in stages/regularizers/ defines one subclass of `Regularizer`, whose fields are the options that params.yaml
gives.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from stages.config.components import Component
from stages.config.types import NonNegative, Positive


@dataclass(frozen=True)
class DiscriminatorOutputs:
    """What a regularizer may look at: one step's images, and the discriminator's logits for them."""

    discriminate: Callable[[Tensor], Tensor]  # images to logits, the batch's labels bound
    real: Tensor  # (batch, channels, height, width)
    fake: Tensor  # same shape, detached from the generator
    real_logits: Tensor  # (batch, …)
    fake_logits: Tensor


class Regularizer(Component):
    """A penalty on the discriminator. Regularizers have no state."""

    role: ClassVar[str] = "regularizer"
    objectives: ClassVar[tuple[str, ...]] = ()  # those it is made for; empty: all
    real_gradient: ClassVar[bool] = False  # whether real_logits must be differentiable in `real`
    fake_gradient: ClassVar[bool] = False

    def is_due(self, step: int) -> bool:
        """Whether this step of the discriminator is penalised; steps count from 0."""
        return True

    def penalty(self, outputs: DiscriminatorOutputs) -> Tensor:
        """Scalar, weight included; by default zero."""
        return outputs.real_logits.new_zeros(())

    def after_discriminator_step(self, discriminator: nn.Module) -> None:
        """Called after every step of the discriminator, for example to clip its weights."""


class LazyRegularizer(Regularizer):
    """A penalty taken in some steps only, which costs no quality (Karras et al., 2020, section 3.1)."""

    weight: NonNegative
    interval: Positive  # steps; the penalty is taken in one of so many, and counts as many times as much

    @override
    def is_due(self, step: int) -> bool:
        return self.weight > 0 and step % self.interval == 0

    @override
    def penalty(self, outputs: DiscriminatorOutputs) -> Tensor:
        return self.weight * self.interval * self.value(outputs)

    @abstractmethod
    def value(self, outputs: DiscriminatorOutputs) -> Tensor:
        """Scalar, without weight."""


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Gradient of each image's summed logits in that image, (batch, pixels); differentiable.

    The sum over the batch gives every image its own gradient as long as no image's logit depends on the others. With
    batch norm it does: an image's gradient is then that of the whole batch's logits, and its norm is no longer that of
    the penalty's paper (`conv`'s R1 has it so; the gradient penalty's authors advise against batch norm).
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1)
