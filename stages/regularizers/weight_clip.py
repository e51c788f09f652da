"""Weight clipping: every weight of the critic stays in a small box (Arjovsky et al., 2017, algorithm 1)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import nn
from typing_extensions import override

from stages.contracts.regularizer import Regularizer


class WeightClip(Regularizer):
    """Clamps to [-clip_value, clip_value] after every step; it adds nothing to the loss."""

    objectives: ClassVar[tuple[str, ...]] = ("wasserstein",)
    clip_value: Annotated[float, Field(gt=0)]

    @override
    @torch.no_grad()
    def after_discriminator_step(self, discriminator: nn.Module) -> None:
        """Clip, in place."""
        torch._foreach_clamp_min_(list(discriminator.parameters()), -self.clip_value)
        torch._foreach_clamp_max_(list(discriminator.parameters()), self.clip_value)
