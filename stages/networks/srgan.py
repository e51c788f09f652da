"""A residual generator that enlarges, and a strided discriminator (Ledig et al., 2017, section 2.1 and figure 4)."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate
from typing_extensions import override

from stages.config.types import Size
from stages.contracts.generator import ImageShape
from stages.contracts.network import Network
from stages.contracts.translator import Translator
from stages.networks.layers import Residual, StridedDiscriminator, initialise_he

FACTOR = 4  # of both sides, as in the paper


class SuperResolver(Translator):
    """Small images to images of four times the size: residual blocks at the small size, then two pixel shuffles.

    A source is an image shrunk by area averaging: each of its pixels is the mean of 4 × 4 pixels. Where 4 does not
    divide a side, the last ones are means of what is left, and what is drawn is cut to the image's size.
    """

    offers: ClassVar[tuple[str, ...]] = ("pairs", "bicubic")

    def __init__(self, options: SRGANNetwork, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        channels, self.height, self.width = image_shape
        base = options.generator_channels
        self.first = nn.Sequential(nn.Conv2d(channels, base, 3, padding=1), nn.PReLU())
        blocks = (_residual(base) for _ in range(options.residual_blocks))
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(base, base, 3, padding=1))
        self.last = nn.Sequential(
            *(nn.Conv2d(base, 4 * base, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()),
            *(nn.Conv2d(base, 4 * base, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()),
            *(nn.Conv2d(base, channels, 3, padding=1), nn.Tanh()),
        )

    @override
    def source(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) at a quarter of both sides, rounded up."""
        return avg_pool2d(images, FACTOR, ceil_mode=True)

    @override
    def source_shape(self, image_shape: ImageShape) -> ImageShape:
        """A quarter of both sides, rounded up."""
        channels, height, width = image_shape
        return channels, math.ceil(height / FACTOR), math.ceil(width / FACTOR)

    def forward(self, source: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, ⌈height / 4⌉, ⌈width / 4⌉) to (batch, channels, height, width); labels are ignored."""
        hidden = self.first(source)
        return self.last(hidden + self.blocks(hidden))[..., : self.height, : self.width]

    @override
    def translate_all(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The enlarged sources, and the same enlarged by bicubic interpolation, to compare with.

        With `antialias`, which changes nothing else here, torch interpolates by the cubic of Keys (1981) that papers
        and other libraries take (a = -0.5).
        """
        bicubic = interpolate(self.source(images), scale_factor=FACTOR, mode="bicubic", antialias=True)
        cut = bicubic[..., : self.height, : self.width]
        return super().translate_all(images, labels) | {"bicubic": cut.clamp(-1, 1)}


def _residual(channels: int) -> Residual:
    """Two convolutions with batch norm."""
    return Residual(
        *(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.PReLU()),
        *(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)),
    )


class FeatureDiscriminator(StridedDiscriminator):
    """Its outputs are the logit, then the features that the logit is computed from."""

    def __init__(self, options: SRGANNetwork, image_shape: ImageShape, classes: int, outputs: int) -> None:
        super().__init__(image_shape, options.discriminator_channels, outputs)
        self.apply(initialise_he)

    @override
    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, outputs + features); labels are not looked at."""
        features = self.layers(images)
        return torch.cat([self.head(features), features], dim=1)


class SRGANNetwork(Network):
    """The generator has as many channels at every size; those of the discriminator double whenever the image halves."""

    generator_type: ClassVar = SuperResolver
    discriminator_type: ClassVar = FeatureDiscriminator
    per_sample: ClassVar[bool] = True  # no batch norm in the discriminator; the paper has it
    kind: ClassVar[str] = "super_resolution"
    generator_channels: Size  # paper: 64
    residual_blocks: Annotated[int, Field(ge=0, le=100)]  # paper: 16
    discriminator_channels: Size  # at half the image's size
