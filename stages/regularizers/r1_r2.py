"""R1 and R2: squared gradients at real images and fakes (Mescheder et al., 2018, section 4.1; Huang et al., 2024)."""

from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from stages.contracts.regularizer import DiscriminatorOutputs, LazyRegularizer, input_gradient


class R1R2(LazyRegularizer):
    """weight / 2 · (E |∇D(x)|² + E |∇D(G(z))|²)."""

    real_gradient: ClassVar[bool] = True
    fake_gradient: ClassVar[bool] = True

    @override
    def value(self, outputs: DiscriminatorOutputs) -> Tensor:
        """Mean over images of each one's own squared gradient norm, of real ones and of fakes."""
        real = input_gradient(outputs.real_logits, outputs.real).square().sum(dim=1)
        fake = input_gradient(outputs.fake_logits, outputs.fake).square().sum(dim=1)
        return (real.mean() + fake.mean()) / 2
