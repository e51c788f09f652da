"""Gradient penalty at random points between real and fake images (Gulrajani et al., 2017, equation 3)."""

import torch
from torch import Tensor

from stages.adversarial import roles
from stages.support.params import NonNegative, Positive


class Regularizer(roles.Regularizer):
    """weight · E (|∇D(x̂)| - 1)²."""

    weight: NonNegative
    interval: Positive  # rounds; the penalty is taken in one of so many, and counts as many times as much

    def is_due(self, round_index: int) -> bool:
        """In one round of every `interval`."""
        return round_index % self.interval == 0

    def penalty(self, judgement: roles.Judgement) -> Tensor:
        """Mean over images; each has its own mixing share and its own gradient norm."""
        real, fake = judgement.real.detach(), judgement.fake.detach()
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = torch.lerp(fake, real, share).requires_grad_()
        gradient = roles.input_gradient(judgement.discriminate(between), between)
        return self.weight * self.interval * (gradient.norm(2, dim=1) - 1).square().mean()
