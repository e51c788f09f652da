"""Minimax: the generator minimises log(1 - D(G(z))), which saturates (Goodfellow et al., 2014, equation 1)."""

from torch import Tensor
from torch.nn.functional import softplus
from typing_extensions import override

from stages.contracts.objective import FakeTarget, Objective, RealTarget, cross_entropy


class Minimax(Objective):
    """Logits are those of a classifier of real against fake; targets as in non_saturating."""

    real_target: RealTarget
    fake_target: FakeTarget

    @override
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), or with smoothed labels their cross entropies."""
        real = cross_entropy(real_logits, self.real_target)
        return real + cross_entropy(fake_logits, self.fake_target)

    @override
    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """E log(1 - D(G(z))): negative, and flat where the discriminator is sure."""
        return -softplus(fake_logits).mean()
