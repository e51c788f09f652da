"""R1: squared gradient norm at real images (Mescheder et al., 2018, equation 9)."""

from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from stages.contracts.regularizer import DiscriminatorOutputs, LazyRegularizer, input_gradient


class R1(LazyRegularizer):
    """weight / 2 · E |∇D(x)|²."""

    real_gradient: ClassVar[bool] = True

    @override
    def value(self, outputs: DiscriminatorOutputs) -> Tensor:
        """Mean over images of each one's squared gradient norm; with batch norm see `input_gradient`."""
        gradient = input_gradient(outputs.real_logits, outputs.real)
        return gradient.square().sum(dim=1).mean() / 2
