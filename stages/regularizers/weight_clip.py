"""Weight clipping: every weight of the critic stays in a small box (Arjovsky et al., 2017, algorithm 1)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.adversarial import roles


class Regularizer(roles.Regularizer):
    """Clamps to [-limit, limit] after every step; it adds nothing to the loss."""

    objectives: ClassVar[tuple[str, ...]] = ("wasserstein",)
    limit: Annotated[float, Field(gt=0)]

    def penalty(self, judgement: roles.Judgement) -> Tensor:
        """Zero."""
        return judgement.real_logits.new_zeros(())

    @torch.no_grad()
    def after_discriminator_step(self, discriminator: nn.Module) -> None:
        """Clip, in place."""
        torch._foreach_clamp_min_(list(discriminator.parameters()), -self.limit)
        torch._foreach_clamp_max_(list(discriminator.parameters()), self.limit)
