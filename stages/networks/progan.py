"""Networks that grow, resolution by resolution (Karras et al., 2018).

With equalised learning rates and pixel norm (sections 4.1 and 4.2) and the minibatch's deviation (section 3).
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, linear

from stages.config.types import Size
from stages.contracts.generator import Generator, ImageShape
from stages.contracts.network import Network
from stages.training import processes


class Growing(nn.Module):
    """A player with a stage of growth g: whole numbers are resolutions, fractions the fade-in of the next one."""

    growth: Tensor

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.register_buffer("growth", torch.tensor(float(stages - 1)))  # fully grown, unless a GAN says otherwise
        self.known_growth: float | None = None  # the same on the host, in training: to read a GPU's number is to wait

    def grow_to(self, growth: float) -> None:
        """Set the stage of growth."""
        self.growth.fill_(growth)
        self.known_growth = float(torch.tensor(growth))  # as exact as the buffer

    def stage(self) -> tuple[int, float]:
        """The resolution being faded in, or the only one, and its share α in (0, 1]."""
        known = self.known_growth if self.training else None  # a moving average gets the buffer alone
        growth = float(self.growth) if known is None else known
        index = math.ceil(growth)
        return index, 1.0 if growth == index else growth - (index - 1)


class ProGANGenerator(Growing, Generator):
    """A start at the smallest resolution, then blocks of doubling and two convolutions; images at each."""

    def __init__(self, options: ProGANNetwork, image_shape: ImageShape, classes: int) -> None:
        depths = options.channels
        super().__init__(len(depths))
        self.latent_size = options.latent_size
        self.sizes = resolutions(image_shape, len(depths))
        self.start_shape = (depths[0], *self.sizes[0])
        self.start = EqualizedLinear(options.latent_size, math.prod(self.start_shape))
        self.first = EqualizedConv(depths[0], depths[0], 3)
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualizedConv(deep, shallow, 3), EqualizedConv(shallow, shallow, 3)])
            for deep, shallow in itertools.pairwise(depths)
        )
        self.to_images = nn.ModuleList(EqualizedConv(depth, image_shape[0], 1, gain=1) for depth in depths)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, channels, height, width) of the data, whatever the stage of growth."""
        return interpolate(self.grown(latent), self.sizes[-1])

    def grown(self, latent: Tensor) -> Tensor:
        """(batch, latent_size) to images at the resolution grown to; labels are not looked at."""
        index, alpha = self.stage()
        hidden = _active(self.start(_pixel_norm(latent)).unflatten(1, self.start_shape))
        hidden = _active(self.first(hidden))
        images = self.to_images[0](hidden)
        for step, block in enumerate(list(self.blocks)[:index], start=1):
            hidden = interpolate(hidden, self.sizes[step])
            before = hidden
            for convolution in block:  # type: ignore[attr-defined]
                hidden = _active(convolution(hidden))
            if step == index:
                images = self.to_images[step](hidden)
                if alpha < 1:
                    images = torch.lerp(self.to_images[step - 1](before), images, alpha)
        return torch.tanh(images)


class ProGANDiscriminator(Growing):
    """The generator's mirror: from images at the resolution grown to, down to the minibatch's deviation and a logit."""

    def __init__(self, options: ProGANNetwork, image_shape: ImageShape, classes: int, outputs: int) -> None:
        depths = options.channels
        super().__init__(len(depths))
        self.from_images = nn.ModuleList(EqualizedConv(image_shape[0], depth, 1) for depth in depths)
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualizedConv(shallow, shallow, 3), EqualizedConv(shallow, deep, 3)])
            for deep, shallow in itertools.pairwise(depths)
        )
        self.last = EqualizedConv(depths[0] + 1, depths[0], 3)
        self.head = EqualizedLinear(depths[0] * math.prod(resolutions(image_shape, len(depths))[0]), outputs, gain=1)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images at the resolution grown to, to (batch, outputs); labels are not looked at."""
        index, alpha = self.stage()
        hidden = leaky_relu(self.from_images[index](images), 0.2)
        for step in range(index, 0, -1):
            for convolution in self.blocks[step - 1]:  # type: ignore[attr-defined]
                hidden = leaky_relu(convolution(hidden), 0.2)
            hidden = avg_pool2d(hidden, 2, ceil_mode=True)
            if step == index and alpha < 1:
                before = leaky_relu(self.from_images[step - 1](avg_pool2d(images, 2, ceil_mode=True)), 0.2)
                hidden = torch.lerp(before, hidden, alpha)
        hidden = leaky_relu(self.last(_with_deviation(hidden)), 0.2)
        return self.head(hidden.flatten(1))


class EqualizedConv(nn.Module):
    """Convolution whose weights are N(0, 1), scaled as it runs: all layers learn at the same pace."""

    def __init__(self, channels: int, depth: int, kernel: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(depth, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(depth))
        self.scale = gain / math.sqrt(channels * kernel**2)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, depth, height, width)."""
        return conv2d(hidden, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)


class EqualizedLinear(nn.Module):
    """Linear layer with weights of N(0, 1), scaled as it runs."""

    def __init__(self, size: int, width: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, size))
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = gain / math.sqrt(size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, size) to (batch, width)."""
        return linear(hidden, self.weight * self.scale, self.bias)


def _pixel_norm(hidden: Tensor) -> Tensor:
    """Each pixel's channels (dimension 1) scaled to a mean square of one."""
    return hidden * torch.rsqrt(hidden.square().mean(dim=1, keepdim=True) + 1e-8)


def _active(hidden: Tensor) -> Tensor:
    return _pixel_norm(leaky_relu(hidden, 0.2))


def _with_deviation(hidden: Tensor) -> Tensor:
    """One more channel, of the batch's standard deviation averaged over channels and pixels."""
    deviation = (processes.all_gather(hidden).var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
    return torch.cat([hidden, deviation.expand(len(hidden), 1, *hidden.shape[2:])], dim=1)


def resolutions(image_shape: ImageShape, count: int) -> list[tuple[int, int]]:
    """Height and width at each of `count` resolutions, the last one the image's: 7, 14, 28 or 9, 17, 33."""
    _, height, width = image_shape
    return [(-(-height // 2**step), -(-width // 2**step)) for step in reversed(range(count))]


class ProGANNetwork(Network):
    """One block a resolution; the last resolution is the data's, each other one half of the next, rounded up."""

    generator_type: ClassVar = ProGANGenerator
    discriminator_type: ClassVar = ProGANDiscriminator
    kind: ClassVar[str] = "growing"
    latent_size: Size
    channels: Annotated[list[Size], Field(min_length=1, max_length=100)]  # at each resolution, the smallest first
