"""Two residual translators and two discriminators of patches (Zhu et al., 2017, section 4 and appendix 7.2)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from stages.config.types import Size
from stages.contracts.generator import ImageShape
from stages.contracts.network import Network
from stages.contracts.translator import TwoWayTranslator
from stages.networks.layers import InstanceNorm, Residual, initialise_normal


class Translators(TwoWayTranslator):
    """Outlines to digits, digits to outlines."""

    def __init__(self, options: CycleGANNetwork, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.to_digits = _translator(options, image_shape)
        self.to_outlines = _translator(options, image_shape)

    def forward(self, source: Tensor, labels: Tensor) -> Tensor:
        """Outlines (batch, channels, height, width) to digits; labels are not looked at."""
        return self.translate(source, "digits")

    @override
    def translate(self, images: Tensor, target: Literal["digits", "outlines"]) -> Tensor:
        return self.to_digits(images) if target == "digits" else self.to_outlines(images)


class Discriminators(nn.Module):
    """One for digits, one for outlines."""

    def __init__(self, options: CycleGANNetwork, image_shape: ImageShape, classes: int, outputs: int) -> None:
        super().__init__()
        self.digits = _patch_discriminator(options, image_shape, outputs)
        self.outlines = _patch_discriminator(options, image_shape, outputs)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Digits (batch, channels, height, width) to a map of logits (batch, outputs, rows, columns)."""
        return self.digits(images)


def _residual(channels: int) -> Residual:
    """Two convolutions with instance norm."""
    return Residual(
        *(nn.Conv2d(channels, channels, 3, padding=1), InstanceNorm(), nn.ReLU()),
        *(nn.Conv2d(channels, channels, 3, padding=1), InstanceNorm()),
    )


def _translator(options: CycleGANNetwork, image_shape: ImageShape) -> nn.Sequential:
    channels, height, width = image_shape
    base = options.generator_channels
    layers = nn.Sequential(
        *(nn.Conv2d(channels, base, 5, padding=2), InstanceNorm(), nn.ReLU()),
        *(nn.Conv2d(base, 2 * base, 4, stride=2, padding=1), InstanceNorm(), nn.ReLU()),
        *(_residual(2 * base) for _ in range(options.residual_blocks)),
        nn.ConvTranspose2d(2 * base, base, 4, stride=2, padding=1, output_padding=(height % 2, width % 2)),
        *(InstanceNorm(), nn.ReLU()),
        *(nn.Conv2d(base, channels, 5, padding=2), nn.Tanh()),
    )
    return layers.apply(initialise_normal)


def _patch_discriminator(options: CycleGANNetwork, image_shape: ImageShape, outputs: int) -> nn.Sequential:
    base = options.discriminator_channels
    layers = nn.Sequential(
        *(nn.Conv2d(image_shape[0], base, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(base, 2 * base, 4, stride=2, padding=1), InstanceNorm(), nn.LeakyReLU(0.2)),
        nn.Conv2d(2 * base, outputs, 3, padding=1),
    )
    return layers.apply(initialise_normal)


class CycleGANNetwork(Network):
    """Translators work at half the image's size; each logit of a discriminator judges a patch."""

    generator_type: ClassVar = Translators
    discriminator_type: ClassVar = Discriminators
    per_sample: ClassVar[bool] = True  # no batch norm in the discriminator
    kind: ClassVar[str] = "translating"
    memory_format: ClassVar[torch.memory_format] = torch.contiguous_format  # faster with instance norms
    generator_channels: Size  # at the image's size; twice as many at half of it
    residual_blocks: Annotated[int, Field(ge=0, le=100)]
    discriminator_channels: Size  # at half the image's size
