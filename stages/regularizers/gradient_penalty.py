"""Gradient penalty at random points between real and fake images (Gulrajani et al., 2017, equation 3)."""

import torch
from torch import Tensor

from stages.adversarial import roles


class Regularizer(roles.LazyRegularizer):
    """weight · E (|∇D(x̂)| - 1)²."""

    def value(self, judgement: roles.Judgement) -> Tensor:
        """Mean over images; each has its own mixing share and its own gradient norm."""
        real, fake = judgement.real.detach(), judgement.fake.detach()
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = torch.lerp(fake, real, share).requires_grad_()
        gradient = roles.input_gradient(judgement.discriminate(between), between)
        return (gradient.norm(2, dim=1) - 1).square().mean()
