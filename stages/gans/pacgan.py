"""A discriminator that sees several images at once, against mode collapse (Lin et al., 2018, section 2.1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from stages.contracts.gan import GAN, Fakes, GANOptions
from stages.contracts.generator import ImageShape
from stages.contracts.network import Network
from stages.contracts.objective import Objective
from stages.contracts.regularizer import Regularizer


class PacGAN(GAN):
    """The discriminator sees packs (batch / packed, packed * channels, height, width), all real or all fake."""

    options: PacGANOptions

    @override
    def transform_real(self, real: Tensor) -> Tensor:
        return self._pack(real)

    @override
    def generate(self, labels: Tensor) -> Fakes:
        fakes = super().generate(labels)
        return Fakes(self._pack(fakes.images), fakes.latent)

    @override
    def discriminate(self, images: Tensor, labels: Tensor) -> Tensor:
        """One row of outputs a pack; the labels stand for packs, and nobody looks at them."""
        return super().discriminate(images, labels[: len(labels) // self.options.packed])

    @override
    def perturb(self, images: Tensor) -> Tensor:
        """Packs, each image in them perturbed on its own."""
        return self._pack(super().perturb(images.unflatten(1, (self.options.packed, -1)).flatten(0, 1)))

    def _pack(self, images: Tensor) -> Tensor:
        """Images (batch, channels, …) to packs of neighbours in the batch, which is in random order."""
        return images.unflatten(0, (-1, self.options.packed)).flatten(1, 2)


class PacGANOptions(GANOptions):
    """How many images the discriminator sees at once."""

    module: ClassVar[type[GAN]] = PacGAN
    packed: Annotated[int, Field(ge=1, le=100)]  # paper: 2 to 4

    @override
    def check(self, network: Network, objective: Objective, regularizer: Regularizer) -> None:
        """Raise ValueError where the network sees labels: a pack has several."""
        super().check(network, objective, regularizer)
        if network.generator_sees_labels:
            raise ValueError(f"gan pacgan judges packs of images: network {network.name} must not see labels")

    @override
    def check_batch_size(self, batch_size: int) -> None:
        if batch_size % self.packed:
            raise ValueError(f"gan.packed must divide the batch size, {batch_size}: every pack has as many images")

    @override
    def discriminator(self, network: Network, image_shape: ImageShape, classes: int) -> nn.Module:
        """The network's discriminator of images with `packed` times the channels."""
        channels, height, width = image_shape
        return network.discriminator((self.packed * channels, height, width), classes)
