"""Strided convolutions, halving and doubling the image (Radford et al., 2016), for images of any size and depth.

Where conditional, the generator gets the label with its latent, and the discriminator by projection (Miyato and
Koyama, 2018, equation 5).
"""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.utils.parametrizations import spectral_norm
from typing_extensions import override

from stages.config.types import Size
from stages.contracts.generator import Generator, ImageShape
from stages.contracts.network import Network, halved_sizes
from stages.networks.layers import StridedDiscriminator, doubling, initialise_he, initialise_normal


class DCGANGenerator(Generator):
    """A linear layer to the smallest size, then transposed convolutions of stride 2."""

    def __init__(self, options: DCGANNetwork, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        self.classes = classes if options.generator_sees_labels else 0
        self.label_meaning = "class" if options.generator_sees_labels else "ignored"
        channels, *size = image_shape
        sizes = halved_sizes(*size)
        depths = [options.base_channels * 2**halving for halving in range(len(sizes) - 1)]
        self.start_shape = (depths[-1], *sizes[-1])
        normalised = options.generator_norm == "batch"
        self.start = nn.Linear(options.latent_size + self.classes, math.prod(self.start_shape), bias=not normalised)
        layers = _activated(depths[-1], normalised)
        for level in reversed(range(len(depths) - 1)):
            layers += [doubling(depths[level + 1], depths[level], sizes[level + 1], bias=not normalised)]
            layers += _activated(depths[level], normalised)
        self.layers = nn.Sequential(*layers, doubling(depths[0], channels, sizes[0], bias=True), nn.Tanh())
        self.apply(initialise_normal if normalised else initialise_he)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size), (batch,) to (batch, channels, height, width)."""
        if self.classes:
            latent = torch.cat([latent, one_hot(labels, self.classes).to(latent.dtype)], dim=1)
        return self.layers(self.start(latent).unflatten(1, self.start_shape))


class DCGANDiscriminator(StridedDiscriminator):
    """The generator's mirror; where it sees labels, with a projection of the label's embedding."""

    def __init__(self, options: DCGANNetwork, image_shape: ImageShape, classes: int, outputs: int) -> None:
        norm = partial(_norm, options.discriminator_norm)
        super().__init__(image_shape, options.base_channels, outputs, norm)
        self.projection = nn.Embedding(classes, self.features) if options.discriminator_sees_labels else None
        self.apply(initialise_normal if options.discriminator_init == "normal" else initialise_he)
        if options.discriminator_norm == "spectral":
            if self.projection is not None:
                initialise_normal(self.projection)  # of zeros there is no largest singular value to divide by
            self.apply(_normalise_spectrally)

    @override
    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width), (batch,) to (batch, outputs)."""
        features = self.layers(images)
        outputs = self.head(features)
        if self.projection is not None:
            outputs = outputs + (self.projection(labels) * features).sum(dim=1, keepdim=True)
        return outputs


def _norm(kind: str, depth: int) -> list[nn.Module]:
    # one group over channels and pixels is layer norm with one scale per channel
    kinds: dict[str, list[nn.Module]] = {
        "none": [],
        "batch": [nn.BatchNorm2d(depth)],
        "layer": [nn.GroupNorm(1, depth)],
        "spectral": [],
    }
    return kinds[kind]


def _activated(depth: int, normalised: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(depth), nn.ReLU()] if normalised else [nn.LeakyReLU(0.2)]


def _normalise_spectrally(module: nn.Module) -> None:
    """Divide a layer's weight by its largest singular value (Miyato et al., 2018, section 2.1)."""
    if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
        spectral_norm(module)


class DCGANNetwork(Network):
    """Channels double whenever the image halves, from `base_channels` at half its size."""

    generator_type: ClassVar = DCGANGenerator
    discriminator_type: ClassVar = DCGANDiscriminator
    latent_size: Size
    base_channels: Size
    generator_norm: Literal["none", "batch"]
    discriminator_norm: Literal["none", "batch", "layer", "spectral"]  # spectral on all layers, others but the first
    discriminator_init: Literal["normal", "he"]  # normal is the paper's; without a norm "he" learns sooner
    labels: Literal["none", "generator", "both"]  # who sees them

    @property
    @override
    def generator_sees_labels(self) -> bool:
        return self.labels != "none"

    @property
    @override
    def discriminator_sees_labels(self) -> bool:
        return self.labels == "both"

    @property
    @override
    def per_sample(self) -> bool:  # type: ignore[override]
        return self.discriminator_norm != "batch"
