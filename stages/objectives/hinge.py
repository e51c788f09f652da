"""Hinge: the discriminator stops caring beyond a margin of one (Lim and Ye, 2017; Miyato et al., 2018, equation 16)."""

from torch import Tensor
from torch.nn.functional import relu

from stages.adversarial import roles


class Objective(roles.Objective):
    """Logits are margins."""

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()

    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -fake_logits.mean()
