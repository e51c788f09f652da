"""Non-saturating logistic loss: the generator maximises log D(G(z)) (Goodfellow et al., 2014, section 3)."""

from torch import Tensor
from torch.nn.functional import softplus
from typing_extensions import override

from stages.contracts.objective import FakeTarget, Objective, RealTarget, cross_entropy


class NonSaturating(Objective):
    """Logits are those of a classifier of real against fake.

    Targets other than 1 and 0 smooth the discriminator's labels (Salimans et al., 2016, section 3.4): 0.9 and
    0.0 on one side, 0.9 and 0.1 on both.
    """

    real_target: RealTarget
    fake_target: FakeTarget

    @override
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """-E log D(x) - E log(1 - D(G(z))), or with smoothed labels their cross entropies."""
        real = cross_entropy(real_logits, self.real_target)
        return real + cross_entropy(fake_logits, self.fake_target)

    @override
    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """-E log D(G(z))."""
        return softplus(-fake_logits).mean()
