"""Least squares with targets 0 for fake, 1 for real and for the generator (Mao et al., 2017, equation 9)."""

from torch import Tensor

from stages.adversarial import roles


class Objective(roles.Objective):
    """Logits are regressed on the targets."""

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E (D(x) - 1)² / 2 + E D(G(z))² / 2."""
        return (real_logits - 1).square().mean() / 2 + fake_logits.square().mean() / 2

    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """E (D(G(z)) - 1)² / 2."""
        return (fake_logits - 1).square().mean() / 2
