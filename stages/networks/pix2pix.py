"""A U-Net and a discriminator of patches (Isola et al., 2017, section 3.2 and appendix 6.1), for images of any size."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from stages.config.types import Size
from stages.contracts.generator import ImageShape
from stages.contracts.network import Network, halved_sizes
from stages.contracts.translator import Translator
from stages.networks.layers import doubling, initialise_he, initialise_normal
from stages.storage.pixels import to_outlines


class UNet(Translator):
    """Outlines to images: halved to the smallest size and doubled again; each size on the way back sees both ways.

    Dropout in the inner layers is its only noise. It is drawn in training alone, so that a served translation is the
    same every time; the paper keeps it, and sees little variety by it (section 3.2).
    """

    def __init__(self, options: Pix2PixNetwork, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        channels, *size = image_shape
        sizes = halved_sizes(*size)
        depths = [channels, *(options.generator_channels * 2**halving for halving in range(len(sizes) - 1))]
        self.halvings, self.doublings = nn.ModuleList(), nn.ModuleList()
        for level, (shallow, deep) in enumerate(pairwise(depths)):
            is_outer, is_inner = level == 0, level == len(sizes) - 2
            activated = [] if is_outer else [nn.LeakyReLU(0.2)]
            norms = [] if is_outer or is_inner else [nn.BatchNorm2d(deep)]
            self.halvings.append(nn.Sequential(*activated, nn.Conv2d(shallow, deep, 4, stride=2, padding=1), *norms))
            both = deep if is_inner else 2 * deep
            last = [nn.Tanh()] if is_outer else [nn.BatchNorm2d(shallow), nn.Dropout(options.dropout)]
            self.doublings.append(nn.Sequential(nn.ReLU(), doubling(both, shallow, sizes[level]), *last))
        self.apply(initialise_normal)

    @override
    def source(self, images: Tensor) -> Tensor:
        """Outlines (batch, channels, height, width)."""
        return to_outlines(images)

    def forward(self, source: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same; labels are not looked at."""
        hidden, skipped = source, []
        for halving in self.halvings:
            hidden = halving(hidden)
            skipped.append(hidden)
        hidden = self.doublings[-1](skipped.pop())
        for doubling_ in reversed(self.doublings[:-1]):
            hidden = doubling_(torch.cat([hidden, skipped.pop()], dim=1))
        return hidden


class PatchDiscriminator(nn.Module):
    """Two convolutions of stride 2 and one of stride 1: a logit judges 18 × 18 pixels."""

    def __init__(self, options: Pix2PixNetwork, image_shape: ImageShape, classes: int, outputs: int) -> None:
        super().__init__()
        base = options.discriminator_channels
        self.layers = nn.Sequential(
            *(nn.Conv2d(image_shape[0], base, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(base, 2 * base, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
            nn.Conv2d(2 * base, outputs, 3, padding=1),
        ).apply(initialise_he)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width) to a map of logits (batch, outputs, rows, columns)."""
        return self.layers(images)


class Pix2PixNetwork(Network):
    """Channels of the generator double whenever the image halves, from `generator_channels` at half its size."""

    generator_type: ClassVar = UNet
    discriminator_type: ClassVar = PatchDiscriminator
    per_sample: ClassVar[bool] = True  # no batch norm in the discriminator
    kind: ClassVar[str] = "paired"
    generator_channels: Size
    dropout: Annotated[float, Field(ge=0, lt=1)]  # of the inner layers on the way back; paper: 0.5
    discriminator_channels: Size  # at half the image's size, twice as many at a quarter
