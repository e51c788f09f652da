"""Gradient penalty at random points between real and fake images (Gulrajani et al., 2017, equation 3)."""

import torch
from torch import Tensor
from typing_extensions import override

from stages.contracts.regularizer import DiscriminatorOutputs, LazyRegularizer, input_gradient


class GradientPenalty(LazyRegularizer):
    """weight · E (|∇D(x̂)| - 1)²."""

    @override
    def value(self, outputs: DiscriminatorOutputs) -> Tensor:
        """Mean over images; each has its own mixing share and its own gradient norm."""
        real, fake = outputs.real.detach(), outputs.fake.detach()
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = torch.lerp(fake, real, share).requires_grad_()
        gradient = input_gradient(outputs.discriminate(between), between)
        return (gradient.norm(2, dim=1) - 1).square().mean()
