"""Relativistic pairing: a fake against a real image (Jolicoeur-Martineau, 2019; Huang et al., 2024, section 2)."""

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus
from typing_extensions import override

from stages.contracts.objective import Objective


class Relativistic(Objective):
    """Logits count as differences within a pair alone."""

    relativistic: ClassVar[bool] = True

    @override
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E log(1 + exp(D(G(z)) - D(x)))."""
        return softplus(fake_logits - real_logits).mean()

    @override
    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """E log(1 + exp(D(x) - D(G(z)))); raises ValueError without real logits."""
        if real_logits is None:
            raise ValueError("a relativistic objective needs real logits")
        return softplus(real_logits - fake_logits).mean()
