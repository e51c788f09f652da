"""A small convolutional pair, whose discriminator judges scraps of an image unless its strides say otherwise."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from stages.config.types import Size
from stages.contracts.generator import Generator, ImageShape
from stages.contracts.network import Network
from stages.networks.layers import doubling

Strides = Annotated[list[Literal[1, 2]], Field(min_length=1, max_length=100)]


class ConvGenerator(Generator):
    """Transposed convolutions: to a quarter of the image, then stride 2 twice."""

    def __init__(self, options: ConvNetwork, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        channels, height, width = image_shape
        wide, narrow = options.generator_channels, max(1, options.generator_channels // 2)
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(options.latent_size, wide, (height // 4, width // 4), bias=False),
            *(nn.BatchNorm2d(wide), nn.LeakyReLU(options.slope)),
            doubling(wide, narrow, (height // 2, width // 2), bias=False),
            *(nn.BatchNorm2d(narrow), nn.LeakyReLU(options.slope)),
            doubling(narrow, channels, (height, width)),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, channels, height, width); labels are not looked at."""
        return self.layers(latent[:, :, None, None])


class ConvDiscriminator(nn.Module):
    """3 × 3 convolutions with batch norm, then one to a map of logits."""

    def __init__(self, options: ConvNetwork, image_shape: ImageShape, classes: int, outputs: int) -> None:
        super().__init__()
        channels = image_shape[0]
        layers: list[nn.Module] = []
        for stride in options.discriminator_strides:
            layers += [nn.Conv2d(channels, options.discriminator_channels, 3, stride=stride, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(options.discriminator_channels), nn.LeakyReLU(options.slope)]
            channels = options.discriminator_channels
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, outputs, 3, padding=1))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, outputs, rows, columns); labels are not looked at."""
        return self.layers(images)


class ConvNetwork(Network):
    """The generator doubles the image twice; the discriminator has one convolution a stride, then one to logits."""

    generator_type: ClassVar = ConvGenerator
    discriminator_type: ClassVar = ConvDiscriminator
    latent_size: Size
    generator_channels: Size  # at a quarter of the image's size; half as many at half of it
    discriminator_channels: Size
    discriminator_strides: Strides  # [1]: a logit sees 5 × 5 pixels; [2, 2, 2]: 31 × 31, so 27 × 27 of 28 × 28
    slope: Annotated[float, Field(ge=0, lt=1)]  # of leaky ReLU below zero
