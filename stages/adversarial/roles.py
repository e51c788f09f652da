"""The contracts of objectives and regularizers.

A file in stages/objectives/ or stages/regularizers/ defines one class under its role's name (Objective,
Regularizer), whose fields are the options that params.yaml must give it. Parts have no state: what changes in
the course of training belongs to the game.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import softplus

from stages.settings.params import NonNegative, Part, Positive

RealTarget = Annotated[float, Field(gt=0.5, le=1)]  # below 1: label smoothing
FakeTarget = Annotated[float, Field(ge=0, lt=0.5)]  # above 0: on both sides


class Objective(Part):
    """What the two players minimise, as means over logits of any shape."""

    relativistic: ClassVar[bool] = False  # whether the generator's loss looks at real logits

    @abstractmethod
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Scalar."""

    @abstractmethod
    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Scalar; `real_logits` is None unless the objective is relativistic."""


@dataclass(frozen=True)
class Judgement:
    """What a regularizer may look at: one round of images and what the discriminator said of them."""

    discriminate: Callable[[Tensor], Tensor]  # images to logits, the batch's labels bound
    real: Tensor  # (batch, channels, height, width)
    fake: Tensor  # same shape, detached from the generator
    real_logits: Tensor  # (batch, …)
    fake_logits: Tensor


class Regularizer(Part):
    """A penalty on the discriminator."""

    objectives: ClassVar[tuple[str, ...]] = ()  # those it is made for; empty: all
    real_gradient: ClassVar[bool] = False  # whether real_logits must be differentiable in `real`
    fake_gradient: ClassVar[bool] = False

    def is_due(self, round_index: int) -> bool:
        """Whether this round of the discriminator is penalised; rounds count from 0."""
        return True

    @abstractmethod
    def penalty(self, judgement: Judgement) -> Tensor:
        """Scalar, weight included."""

    def after_discriminator_step(self, discriminator: nn.Module) -> None:
        """Called after every step of the discriminator: to clip its weights, say."""


class LazyRegularizer(Regularizer):
    """A penalty taken in some rounds only, which costs no quality (Karras et al., 2020, section 3.1)."""

    weight: NonNegative
    interval: Positive  # rounds; the penalty is taken in one of so many, and counts as many times as much

    def is_due(self, round_index: int) -> bool:
        """In one round of every `interval`; never with a weight of 0."""
        return self.weight > 0 and round_index % self.interval == 0

    def penalty(self, judgement: Judgement) -> Tensor:
        """Weight · interval · `value`."""
        return self.weight * self.interval * self.value(judgement)

    @abstractmethod
    def value(self, judgement: Judgement) -> Tensor:
        """Scalar, without weight."""


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Gradient of each image's summed logits in that image, (batch, pixels); differentiable.

    The sum over the batch gives every image its own gradient as long as the discriminator treats images
    one by one, which is why penalised discriminators have no batch norm.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1)


def cross_entropy(logits: Tensor, target: float) -> Tensor:
    """Mean binary cross entropy of logits of any shape against one target in [0, 1], stable for large logits."""
    return target * softplus(-logits).mean() + (1 - target) * softplus(logits).mean()
