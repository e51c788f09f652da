"""The contract of objectives: what the two networks minimise.

A file in stages/objectives/ defines one subclass of `Objective`, whose fields are the options that params.yaml gives.
"""

from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from stages.config.components import Component

RealTarget = Annotated[float, Field(gt=0.5, le=1)]  # below 1: label smoothing
FakeTarget = Annotated[float, Field(ge=0, lt=0.5)]  # above 0: two-sided label smoothing


class Objective(Component):
    """A pair of losses: means over logits of any shape. Objectives have no state."""

    role: ClassVar[str] = "objective"
    relativistic: ClassVar[bool] = False  # whether the generator's loss looks at real logits

    @abstractmethod
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Scalar."""

    @abstractmethod
    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Scalar; `real_logits` is None unless the objective is relativistic."""


def cross_entropy(logits: Tensor, target: float) -> Tensor:
    """Mean binary cross entropy of logits of any shape against one target in [0, 1], stable for large logits."""
    return target * softplus(-logits).mean() + (1 - target) * softplus(logits).mean()
