"""DRAGAN: gradient norm of 1 around real images (Kodali et al., 2017, section 3.3 and algorithm 1)."""

import torch
from torch import Tensor
from typing_extensions import override

from stages.config.types import NonNegative
from stages.contracts.regularizer import DiscriminatorOutputs, LazyRegularizer, input_gradient
from stages.training import processes


class DRAGAN(LazyRegularizer):
    """weight · E (|∇D(x + δ)| - 1)², δ uniform in [0, noise_scale · σ] with σ the batch's standard deviation.

    So does the authors' code; the paper has δ normal.
    """

    noise_scale: NonNegative  # in standard deviations of the batch's pixels

    @override
    def value(self, outputs: DiscriminatorOutputs) -> Tensor:
        """Mean over images; each has noise of its own, and its own gradient norm."""
        real = outputs.real.detach()
        around = real + self.noise_scale * processes.all_gather(real).std() * torch.rand_like(real)
        around.requires_grad_()
        gradient = input_gradient(outputs.discriminate(around), around)
        return (gradient.norm(2, dim=1) - 1).square().mean()
