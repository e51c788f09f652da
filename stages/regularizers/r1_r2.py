"""R1 and R2: squared gradients at real images and fakes (Mescheder et al., 2018, section 4.1; Huang et al., 2024)."""

from typing import ClassVar

from torch import Tensor

from stages.adversarial import roles
from stages.support.params import NonNegative, Positive


class Regularizer(roles.Regularizer):
    """weight / 2 · (E |∇D(x)|² + E |∇D(G(z))|²)."""

    real_gradient: ClassVar[bool] = True
    fake_gradient: ClassVar[bool] = True
    weight: NonNegative
    interval: Positive  # rounds; the penalty is taken in one of so many, and counts as many times as much

    def is_due(self, round_index: int) -> bool:
        """In one round of every `interval`."""
        return round_index % self.interval == 0

    def penalty(self, judgement: roles.Judgement) -> Tensor:
        """Mean over images of each one's own squared gradient norm, of real ones and of fakes."""
        real = roles.input_gradient(judgement.real_logits, judgement.real).square().sum(dim=1)
        fake = roles.input_gradient(judgement.fake_logits, judgement.fake).square().sum(dim=1)
        return self.weight * self.interval / 2 * (real.mean() + fake.mean())
