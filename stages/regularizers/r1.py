"""R1: squared gradient norm at real images (Mescheder et al., 2018, equation 9)."""

from typing import ClassVar

from torch import Tensor

from stages.adversarial import roles


class Regularizer(roles.LazyRegularizer):
    """weight / 2 · E |∇D(x)|²."""

    real_gradient: ClassVar[bool] = True

    def value(self, judgement: roles.Judgement) -> Tensor:
        """Mean over images of each one's own squared gradient norm."""
        gradient = roles.input_gradient(judgement.real_logits, judgement.real)
        return gradient.square().sum(dim=1).mean() / 2
