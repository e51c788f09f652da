"""DRAGAN: gradient norm of 1 around real images (Kodali et al., 2017, section 3.3 and algorithm 1)."""

import torch
from torch import Tensor

from stages.adversarial import roles
from stages.settings.params import NonNegative


class Regularizer(roles.LazyRegularizer):
    """weight · E (|∇D(x + δ)| - 1)², δ uniform in [0, spread · σ] with σ the batch's standard deviation."""

    spread: NonNegative  # in standard deviations of the batch's pixels

    def value(self, judgement: roles.Judgement) -> Tensor:
        """Mean over images; each has noise of its own, and its own gradient norm."""
        real = judgement.real.detach()
        around = real + self.spread * real.std() * torch.rand_like(real)
        around.requires_grad_()
        gradient = roles.input_gradient(judgement.discriminate(around), around)
        return (gradient.norm(2, dim=1) - 1).square().mean()
