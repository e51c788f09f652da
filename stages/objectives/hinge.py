"""Hinge: the discriminator stops caring beyond a margin of one (Lim and Ye, 2017; Miyato et al., 2018, equation 16)."""

from torch import Tensor
from torch.nn.functional import relu
from typing_extensions import override

from stages.contracts.objective import Objective


class Hinge(Objective):
    """Logits are margins."""

    @override
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))."""
        return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()

    @override
    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """-E D(G(z))."""
        return -fake_logits.mean()
