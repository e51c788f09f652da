"""Gradient penalty at random points between real and fake images (Gulrajani et al., 2017, equation 3)."""

import torch
from torch import Tensor

from stages.adversarial import roles
from stages.support.params import NonNegative


class Regularizer(roles.Regularizer):
    """weight · E (|∇D(x̂)| - 1)²."""

    weight: NonNegative

    def penalty(self, judgement: roles.Judgement) -> Tensor:
        """Mean over images; each has its own mixing share and its own gradient norm."""
        real, fake = judgement.real.detach(), judgement.fake.detach()
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = torch.lerp(fake, real, share).requires_grad_()
        gradient = roles.input_gradient(judgement.discriminate(between), between)
        return self.weight * (gradient.norm(2, dim=1) - 1).square().mean()
