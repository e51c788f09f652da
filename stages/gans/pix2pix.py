"""Paired translation of outlines to the digits they were taken from (Isola et al., 2017, section 3)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from typing_extensions import override

from stages.config.types import NonNegative
from stages.contracts.gan import GAN, Fakes, GANOptions
from stages.contracts.generator import ImageShape
from stages.contracts.image_to_image import ImageToImage
from stages.contracts.network import Network


class Pix2Pix(ImageToImage):
    """The discriminator sees pairs (batch, 2 × channels, height, width): a source, and the image that is made of it."""

    options: Pix2PixOptions

    @override
    def transform_real(self, real: Tensor) -> Tensor:
        """Sources, without gradients, and real images, concatenated along channels."""
        return torch.cat([self.generator.source(real.detach()), real], dim=1)

    @override
    def generate(self, labels: Tensor) -> Fakes:
        """Sources and fake images, concatenated along channels."""
        made = super().generate(labels)
        return Fakes(torch.cat([made.latent, made.images], dim=1), made.latent)

    @override
    def generator_auxiliary_losses(self, fake_outputs: Tensor, fakes: Fakes, labels: Tensor) -> dict[str, Tensor]:
        """Distance of fakes to the real images of their sources (equation 3)."""
        made = fakes.images[:, fakes.latent.shape[1] :]
        return {"l1_loss": self.options.l1_weight * l1_loss(made, self.real)}


class Pix2PixOptions(GANOptions):
    """How much the distance to the real image counts."""

    network_kind: ClassVar[str] = "paired"
    module: ClassVar[type[GAN]] = Pix2Pix
    l1_weight: NonNegative  # paper: 100

    @override
    def discriminator(self, network: Network, image_shape: ImageShape, classes: int) -> nn.Module:
        """A discriminator of pairs."""
        channels, height, width = image_shape
        return network.discriminator((2 * channels, height, width), classes)
