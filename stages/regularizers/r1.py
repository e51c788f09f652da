"""R1: squared gradient norm at real images (Mescheder et al., 2018, equation 9).

Taking it in some rounds only costs no quality (Karras et al., 2020, section 3.1).
"""

from typing import ClassVar

from torch import Tensor

from stages.adversarial import roles
from stages.support.params import NonNegative, Positive


class Regularizer(roles.Regularizer):
    """weight / 2 · E |∇D(x)|²."""

    real_gradient: ClassVar[bool] = True
    weight: NonNegative
    interval: Positive  # rounds; the penalty is taken in one of so many, and counts as many times as much

    def is_due(self, round_index: int) -> bool:
        """In one round of every `interval`."""
        return round_index % self.interval == 0

    def penalty(self, judgement: roles.Judgement) -> Tensor:
        """Mean over images of each one's own squared gradient norm."""
        gradient = roles.input_gradient(judgement.real_logits, judgement.real)
        return self.weight * self.interval / 2 * gradient.square().sum(dim=1).mean()
