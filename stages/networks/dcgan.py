"""Strided convolutions, halving and doubling the image (Radford et al., 2016), for images of any size and depth.

Conditional, the generator is told the label beside its latent, and the discriminator by projection (Miyato and
Koyama, 2018, equation 5).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.utils.parametrizations import spectral_norm

from stages.adversarial import network
from stages.adversarial.network import ImageShape, doubling
from stages.settings.errors import StageError
from stages.settings.params import Size


class Network(network.Network):
    """Channels double whenever the image halves, from `base_channels` at half its size."""

    latent_size: Size
    base_channels: Size
    generator_norm: Literal["none", "batch"]
    discriminator_norm: Literal["none", "batch", "layer", "spectral"]  # spectral on all layers, others but the first
    discriminator_init: Literal["normal", "he"]  # normal is the paper's; without a norm "he" learns sooner
    labels: Literal["none", "generator", "both"]  # who sees them

    @property
    def generator_sees_labels(self) -> bool:
        """See the contract."""
        return self.labels != "none"

    @property
    def discriminator_sees_labels(self) -> bool:
        """See the contract."""
        return self.labels == "both"

    @property
    def judges_one_by_one(self) -> bool:
        """See the contract."""
        return self.discriminator_norm != "batch"

    def generator(self, image_shape: ImageShape, classes: int) -> Generator:
        """See the contract."""
        return Generator(self, image_shape, classes)

    def discriminator(self, image_shape: ImageShape, classes: int, outputs: int = 1) -> Discriminator:
        """See the contract."""
        return Discriminator(self, image_shape, classes, outputs)


class Generator(network.Generator):
    """A linear layer to the smallest size, then transposed convolutions of stride 2."""

    def __init__(self, options: Network, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        self.classes = classes if options.generator_sees_labels else 0
        self.label_role = "class" if options.generator_sees_labels else "ignored"
        channels, *size = image_shape
        sizes = _sizes(*size)
        depths = [options.base_channels * 2**halving for halving in range(len(sizes) - 1)]
        self.start_shape = (depths[-1], *sizes[-1])
        normalised = options.generator_norm == "batch"
        self.start = nn.Linear(options.latent_size + self.classes, math.prod(self.start_shape), bias=not normalised)
        layers = _activated(depths[-1], normalised)
        for depth, shallower, larger in zip(depths[:0:-1], depths[-2::-1], sizes[-2:0:-1], strict=True):
            layers += [doubling(depth, shallower, larger, bias=not normalised), *_activated(shallower, normalised)]
        self.layers = nn.Sequential(*layers, doubling(depths[0], channels, sizes[0], bias=True), nn.Tanh())
        self.apply(_initialise_normal if normalised else _initialise_he)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size), (batch,) to (batch, channels, height, width)."""
        if self.classes:
            latent = torch.cat([latent, one_hot(labels, self.classes).to(latent.dtype)], dim=1)
        return self.layers(self.start(latent).unflatten(1, self.start_shape))


class Discriminator(nn.Module):
    """The generator's mirror: convolutions of stride 2, then one logit."""

    def __init__(self, options: Network, image_shape: ImageShape, classes: int, outputs: int) -> None:
        super().__init__()
        channels, *size = image_shape
        sizes = _sizes(*size)
        layers: list[nn.Module] = []
        for halving in range(len(sizes) - 1):
            depth = options.base_channels * 2**halving
            norm = _norm(options.discriminator_norm, depth) if halving else []
            layers += [nn.Conv2d(channels, depth, 4, stride=2, padding=1, bias=not norm)]
            layers += [*norm, nn.LeakyReLU(0.2)]
            channels = depth
        self.layers = nn.Sequential(*layers, nn.Flatten())
        features = channels * math.prod(sizes[-1])
        self.head = nn.Linear(features, outputs)
        self.projection = nn.Embedding(classes, features) if options.discriminator_sees_labels else None
        self.apply(_initialise_normal if options.discriminator_init == "normal" else _initialise_he)
        if options.discriminator_norm == "spectral":
            self.apply(_normalise_spectrally)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width), (batch,) to (batch, outputs)."""
        features = self.layers(images)
        outputs = self.head(features)
        if self.projection is not None:
            outputs = outputs + (self.projection(labels) * features).sum(dim=1, keepdim=True)
        return outputs


def _sizes(height: int, width: int) -> list[tuple[int, int]]:
    """The image's size halved until a side is at most 4: 28, 14, 7, 3 or 64, 32, 16, 8, 4."""
    sizes = [(height, width)]
    while min(sizes[-1]) > 4:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    if len(sizes) == 1:
        raise StageError(f"images of {height}×{width} pixels are too small: dcgan needs more than 4 a side")
    return sizes


def _norm(kind: str, depth: int) -> list[nn.Module]:
    # one group over channels and pixels is layer norm with one scale a channel
    kinds: dict[str, list[nn.Module]] = {
        "none": [],
        "batch": [nn.BatchNorm2d(depth)],
        "layer": [nn.GroupNorm(1, depth)],
        "spectral": [],
    }
    return kinds[kind]


def _activated(depth: int, normalised: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(depth), nn.ReLU()] if normalised else [nn.LeakyReLU(0.2)]


def _initialise_normal(module: nn.Module) -> None:
    """Weights from N(0, 0.02²), as the paper's section 4 has it."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0, 0.02)


def _initialise_he(module: nn.Module) -> None:
    """Weights that keep the size of what passes through (He et al., 2015), where no norm would mend it."""
    if isinstance(module, nn.ConvTranspose2d):  # each pixel gathers kernel / stride² of the inputs
        fan_in = module.in_channels * math.prod(module.kernel_size) / math.prod(module.stride)
        nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_in))
    elif isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, 0.2)
    elif isinstance(module, nn.Embedding):
        nn.init.zeros_(module.weight)


def _normalise_spectrally(module: nn.Module) -> None:
    """Divide a layer's weight by its largest singular value (Miyato et al., 2018, section 2.1)."""
    if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
        spectral_norm(module)
