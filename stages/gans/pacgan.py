"""A discriminator that sees several images at once, against mode collapse (Lin et al., 2018, section 2.1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from stages.contracts.gan import GAN, Fakes, GANOptions
from stages.contracts.generator import ImageShape
from stages.contracts.network import Network
from stages.training import processes


class PacGAN(GAN):
    """The discriminator sees packs (batch / pack_size, pack_size * channels, height, width), all real or all fake."""

    options: PacGANOptions

    @override
    def build_buffers(self, image_shape: ImageShape) -> None:
        # as many packs of real and fake images as images: several processes could not tell whose random numbers to draw
        self.per_sample = self.per_sample and processes.world_size() == 1

    @override
    def transform_real(self, real: Tensor) -> Tensor:
        return self._pack(real)

    @override
    def generate(self, labels: Tensor) -> Fakes:
        fakes = super().generate(labels)
        return Fakes(self._pack(fakes.images), fakes.latent)

    @override
    def discriminate(self, images: Tensor, labels: Tensor) -> Tensor:
        """One row of outputs per pack; the labels are unused."""
        return super().discriminate(images, labels[: len(labels) // self.options.pack_size])

    @override
    def perturb(self, images: Tensor) -> Tensor:
        """Packs, each image in them perturbed on its own."""
        return self._pack(super().perturb(images.unflatten(1, (self.options.pack_size, -1)).flatten(0, 1)))

    def _pack(self, images: Tensor) -> Tensor:
        """Images (batch, channels, …) to packs of neighbours in the batch, which is in random order."""
        return images.unflatten(0, (-1, self.options.pack_size)).flatten(1, 2)


class PacGANOptions(GANOptions):
    """How many images the discriminator sees at once."""

    module: ClassVar[type[GAN]] = PacGAN
    without_labels: ClassVar[str] = "judges packs of images"
    pack_size: Annotated[int, Field(ge=1, le=100)]  # paper: 2 to 4

    @property
    @override
    def images_per_logit(self) -> int:
        return self.pack_size

    @override
    def check_batch_size(self, batch_size: int) -> None:
        if batch_size % self.pack_size:
            raise ValueError(f"gan.pack_size must divide the batch size, {batch_size}: every pack has as many images")

    @override
    def discriminator(self, network: Network, image_shape: ImageShape, classes: int) -> nn.Module:
        """The network's discriminator of images with `pack_size` times the channels."""
        channels, height, width = image_shape
        return network.discriminator((self.pack_size * channels, height, width), classes)
