"""Wasserstein: the critic's difference estimates the earth mover's distance (Arjovsky et al., 2017, equation 2)."""

from torch import Tensor
from typing_extensions import override

from stages.contracts.objective import Objective


class Wasserstein(Objective):
    """Logits are a critic's values; the critic must be kept Lipschitz by a regularizer."""

    @override
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E D(G(z)) - E D(x)."""
        return fake_logits.mean() - real_logits.mean()

    @override
    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -fake_logits.mean()
