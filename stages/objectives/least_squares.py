"""Least squares: targets 0 for fake, 1 for real and for the generator (Mao et al., 2017, equation 9)."""

from torch import Tensor
from typing_extensions import override

from stages.contracts.objective import FakeTarget, Objective, RealTarget


class LeastSquares(Objective):
    """Logits are regressed on the discriminator's targets, which may be smoothed; the generator's is 1."""

    real_target: RealTarget
    fake_target: FakeTarget

    @override
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E (D(x) - 1)² / 2 + E D(G(z))² / 2, with targets of 1 and 0."""
        real = (real_logits - self.real_target).square().mean()
        return real / 2 + (fake_logits - self.fake_target).square().mean() / 2

    @override
    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """E (D(G(z)) - 1)² / 2."""
        return (fake_logits - 1).square().mean() / 2
