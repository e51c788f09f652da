"""R1 and R2: squared gradients at real images and fakes (Mescheder et al., 2018, section 4.1; Huang et al., 2024)."""

from typing import ClassVar

from torch import Tensor

from stages.adversarial import roles


class Regularizer(roles.LazyRegularizer):
    """weight / 2 · (E |∇D(x)|² + E |∇D(G(z))|²)."""

    real_gradient: ClassVar[bool] = True
    fake_gradient: ClassVar[bool] = True

    def value(self, judgement: roles.Judgement) -> Tensor:
        """Mean over images of each one's own squared gradient norm, of real ones and of fakes."""
        real = roles.input_gradient(judgement.real_logits, judgement.real).square().sum(dim=1)
        fake = roles.input_gradient(judgement.fake_logits, judgement.fake).square().sum(dim=1)
        return (real.mean() + fake.mean()) / 2
