"""Boundary equilibrium: how much fakes count keeps a ratio of errors (Berthelot et al., 2017, sections 3.3 and 3.4)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from stages.config.types import NonNegative, Rate
from stages.contracts.gan import GAN, GANOptions, Losses
from stages.contracts.generator import ImageShape
from stages.contracts.network import Network
from stages.contracts.objective import Objective
from stages.contracts.regularizer import Regularizer
from stages.training import processes


class BEGAN(GAN):
    """Logits are minus reconstruction errors L; the discriminator minimises L(x) - k L(G(z)), the generator L(G(z))."""

    options: BEGANOptions
    k: Tensor
    errors: Tensor

    @override
    def build_buffers(self, image_shape: ImageShape) -> None:
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("errors", torch.zeros(2))  # of the last real images and fakes

    @override
    def adversarial_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """L(x) - k L(G(z)) (equation 2)."""
        return self.objective.discriminator_loss(real_logits, self.k * fake_logits)

    @override
    def discriminator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """Among the scalars is the measure of convergence, L(x) + |γ L(x) - L(G(z))| (section 3.4.1)."""
        losses = super().discriminator_loss(real, labels)
        logits = torch.stack([losses.scalars["real_logits"], losses.scalars["fake_logits"]]).detach()
        self.errors.copy_(processes.all_reduce_mean(-logits))
        real_error, fake_error = self.errors.clone()
        convergence = real_error + (self.options.diversity * real_error - fake_error).abs()
        return Losses(losses.loss, losses.scalars | {"k": self.k.clone(), "convergence": convergence})

    @override
    @torch.no_grad()
    def after_discriminator_step(self) -> None:
        """Move k in proportion to how far the errors are from their ratio (equation 2), within [0, 1]."""
        super().after_discriminator_step()
        real_error, fake_error = self.errors
        self.k.add_(self.options.k_rate * (self.options.diversity * real_error - fake_error)).clamp_(0, 1)


class BEGANOptions(GANOptions):
    """The equilibrium to keep, and how fast k moves to keep it."""

    network_kind: ClassVar[str] = "autoencoding"
    module: ClassVar[type[GAN]] = BEGAN
    diversity: Rate  # γ, the ratio of errors L(G(z)) / L(x); paper: 0.3 to 0.7
    k_rate: NonNegative  # λ; paper: 0.001

    @override
    def check(self, network: Network, objective: Objective, regularizer: Regularizer) -> None:
        """Errors are compared as the Wasserstein objective does."""
        super().check(network, objective, regularizer)
        if objective.name != "wasserstein":
            raise ValueError(f"gan began does not fit objective {objective.name}; expected wasserstein")
