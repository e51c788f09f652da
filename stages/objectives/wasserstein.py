"""Wasserstein: the critic's difference estimates the earth mover's distance (Arjovsky et al., 2017, equation 2)."""

from torch import Tensor

from stages.adversarial import roles


class Objective(roles.Objective):
    """Logits are a critic's values; the critic must be kept Lipschitz by a regularizer."""

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E D(G(z)) - E D(x)."""
        return fake_logits.mean() - real_logits.mean()

    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -fake_logits.mean()
