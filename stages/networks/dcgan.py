"""Strided convolutions, halving and doubling the image (Radford et al., 2016), for images of any size and depth."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn

from stages.adversarial import network
from stages.adversarial.network import ImageShape
from stages.support.errors import StageError
from stages.support.params import Positive


class Network(network.Network):
    """Channels double whenever the image halves, from `base_channels` at half its size."""

    latent_size: Positive
    base_channels: Positive
    discriminator_norm: Literal["none", "batch", "layer"]  # never on the first convolution

    def generator(self, image_shape: ImageShape, classes: int) -> Generator:
        """See the contract."""
        return Generator(self, image_shape)

    def discriminator(self, image_shape: ImageShape, classes: int) -> Discriminator:
        """See the contract."""
        return Discriminator(self, image_shape)


class Generator(network.Generator):
    """A linear layer to the smallest size, then transposed convolutions of stride 2."""

    def __init__(self, options: Network, image_shape: ImageShape) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        channels, *size = image_shape
        sizes = _sizes(*size)
        depths = [options.base_channels * 2**halving for halving in range(len(sizes) - 1)]
        self.start_shape = (depths[-1], *sizes[-1])
        self.start = nn.Linear(options.latent_size, math.prod(self.start_shape), bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(depths[-1]), nn.ReLU()]
        for depth, shallower, larger in zip(depths[:0:-1], depths[-2::-1], sizes[-2:0:-1], strict=True):
            layers += [_doubling(depth, shallower, larger, bias=False)]
            layers += [nn.BatchNorm2d(shallower), nn.ReLU()]
        self.layers = nn.Sequential(*layers, _doubling(depths[0], channels, sizes[0], bias=True), nn.Tanh())
        self.apply(_initialise)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, channels, height, width); labels are not looked at."""
        return self.layers(self.start(latent).unflatten(1, self.start_shape))


class Discriminator(nn.Module):
    """The generator's mirror: convolutions of stride 2, then one logit."""

    def __init__(self, options: Network, image_shape: ImageShape) -> None:
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
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * math.prod(sizes[-1]), 1))
        self.apply(_initialise)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, 1); labels are not looked at."""
        return self.layers(images)


def _sizes(height: int, width: int) -> list[tuple[int, int]]:
    """The image's size halved until a side is at most 4: 28, 14, 7, 3 or 64, 32, 16, 8, 4."""
    sizes = [(height, width)]
    while min(sizes[-1]) > 4:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    if len(sizes) == 1:
        raise StageError(f"images of {height}×{width} pixels are too small: dcgan needs more than 4 a side")
    return sizes


def _doubling(depth: int, shallower: int, larger: tuple[int, int], bias: bool) -> nn.ConvTranspose2d:
    """Transposed convolution to a size that may be odd, which takes an extra row or column."""
    extra = (larger[0] % 2, larger[1] % 2)
    return nn.ConvTranspose2d(depth, shallower, 4, stride=2, padding=1, output_padding=extra, bias=bias)


def _norm(kind: str, depth: int) -> list[nn.Module]:
    # one group over channels and pixels is layer norm with one scale a channel
    kinds: dict[str, list[nn.Module]] = {
        "none": [],
        "batch": [nn.BatchNorm2d(depth)],
        "layer": [nn.GroupNorm(1, depth)],
    }
    return kinds[kind]


def _initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02²), as the paper's section 4 has it."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0, 0.02)
