"""No penalty."""

from torch import Tensor
from typing_extensions import override

from stages.contracts.regularizer import DiscriminatorOutputs, Regularizer


class NoPenalty(Regularizer):
    """Leaves the discriminator as it is."""

    @override
    def penalty(self, outputs: DiscriminatorOutputs) -> Tensor:
        """Zero."""
        return outputs.real_logits.new_zeros(())
