"""A generator of styles (Karras et al., 2019), against a discriminator of strided convolutions.

Mapping network, adaptive instance norm, constant input, noise at every layer, style mixing, and truncation at sampling
(sections 2 and 3, appendix B).
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear
from typing_extensions import override

from stages.config.types import Size
from stages.contracts.generator import Generator, ImageShape, Picture, to_pixels
from stages.contracts.network import Network
from stages.networks.layers import InstanceNorm, StridedDiscriminator, doubling, initialise_he
from stages.training import processes

Share = Annotated[float, Field(ge=0, le=1)]
PICTURED = 8  # styles along each side of the picture of mixing


class StyleGANGenerator(Generator):
    """Latents to styles, styles to images."""

    mean_style: Tensor

    def __init__(self, options: StyleGANNetwork, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        self.style_mixing = options.style_mixing
        channels, height, width = image_shape
        sizes = [(height // part, width // part) for part in (4, 2, 1)]
        depths = [options.base_channels * 2**step for step in reversed(range(len(sizes)))]
        mapping = (
            MappingLayer(options.latent_size, options.mapping_learning_rate) for _ in range(options.mapping_layers)
        )
        self.mapping = nn.Sequential(*mapping)
        self.constant = nn.Parameter(torch.ones(1, depths[0], *sizes[0]))
        layers = [
            StyledLayer(nn.Identity(), depths[0], options.latent_size),
            StyledLayer(nn.Conv2d(depths[0], depths[0], 3, padding=1), depths[0], options.latent_size),
        ]
        for deep, shallow, larger in zip(depths, depths[1:], sizes[1:], strict=False):
            layers += [StyledLayer(doubling(deep, shallow, larger), shallow, options.latent_size)]
            layers += [StyledLayer(nn.Conv2d(shallow, shallow, 3, padding=1), shallow, options.latent_size)]
        self.layers = nn.ModuleList(layers)
        # of each pixel: on a CPU faster than a convolution; starts with gain 1, as tanh follows
        self.to_image = nn.Linear(depths[-1], channels)
        self.register_buffer("mean_style", torch.zeros(options.latent_size))
        self.apply(_initialise)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, channels, height, width); labels are not looked at."""
        styles = self.styles(latent)
        if self.training:
            with torch.no_grad():
                self.mean_style.lerp_(processes.all_reduce_mean(styles.mean(dim=0).float()), 0.01)
        styles = self.every_layer(styles)
        return self.synthesise(self.mix_at_random(styles) if self.training else styles)

    @override
    def generate(self, latent: Tensor, labels: Tensor, truncation: float) -> Tensor:
        """Truncation draws styles, not latents, towards their mean (appendix B)."""
        return self.synthesise(self.every_layer(torch.lerp(self.mean_style, self.styles(latent), truncation)))

    def styles(self, latent: Tensor) -> Tensor:
        """(batch, latent_size) to styles (batch, latent_size)."""
        return self.mapping(latent * torch.rsqrt(latent.square().mean(dim=1, keepdim=True) + 1e-8))

    def every_layer(self, styles: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, layers, latent_size): the same style for all layers."""
        return styles.unsqueeze(1).expand(-1, len(self.layers), -1)

    def mix(self, styles: Tensor, others: Tensor, crossover: Tensor) -> Tensor:
        """Styles (batch, layers, latent_size), from layer `crossover` (batch,) on those of others."""
        is_later = torch.arange(styles.shape[1], device=styles.device) >= crossover.unsqueeze(1)
        return torch.where(is_later.unsqueeze(2), others, styles)

    def mix_at_random(self, styles: Tensor) -> Tensor:
        """Each image's styles, for a share of images mixed with another's of the batch at a random layer."""
        count, layers = styles.shape[:2]
        crossover = torch.randint(1, layers, (count,), device=styles.device)
        is_mixed = torch.rand(count, device=styles.device) < self.style_mixing
        everyone = processes.all_gather(styles)
        others = processes.share(everyone[torch.randperm(len(everyone), device=styles.device)])
        return self.mix(styles, others, torch.where(is_mixed, crossover, layers))

    def synthesise(self, styles: Tensor) -> Tensor:
        """(batch, layers, latent_size) to (batch, channels, height, width)."""
        hidden = self.constant.expand(len(styles), -1, -1, -1)
        for layer, style in zip(self.layers, styles.unbind(dim=1), strict=True):
            hidden = layer(hidden, style)
        return torch.tanh(self.to_image(hidden.movedim(1, -1)).movedim(-1, 1))

    @override
    @torch.no_grad()
    def pictures(self, labels: Tensor, *, seed: int, truncation: float) -> dict[str, Picture]:
        """Style mixing, too: rows give the first two layers' style, columns the later layers'."""
        more = super().pictures(labels, seed=seed, truncation=truncation)
        labels = torch.zeros(2 * PICTURED, dtype=torch.int64, device=self.constant.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            latent = self.latent(labels.cpu()).to(labels.device)
            styles = torch.lerp(self.mean_style, self.eval().styles(latent), truncation)
            coarse, fine = self.every_layer(styles).chunk(2)
            crossover = torch.full((PICTURED**2,), 2, device=labels.device)
            mixed = self.mix(coarse.repeat_interleave(PICTURED, 0), fine.repeat(PICTURED, 1, 1), crossover)
            return more | {"style_mixing": Picture(to_pixels(self.synthesise(mixed)), PICTURED)}


class MappingLayer(nn.Module):
    """Linear layer with leaky ReLU, whose weights learn more slowly: they are stored larger than they count."""

    def __init__(self, size: int, learning_rate: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, size) / learning_rate)
        self.bias = nn.Parameter(torch.zeros(size))
        self.scale = math.sqrt(2 / size) * learning_rate
        self.learning_rate = learning_rate

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, size) to the same."""
        return leaky_relu(linear(hidden, self.weight * self.scale, self.bias * self.learning_rate), 0.2)


class StyledLayer(nn.Module):
    """A convolution (or the constant), noise of a learned size, leaky ReLU, adaptive instance norm."""

    def __init__(self, convolution: nn.Module, depth: int, latent_size: int) -> None:
        super().__init__()
        self.convolution = convolution
        self.noise_size = nn.Parameter(torch.zeros(depth, 1, 1))
        self.norm = InstanceNorm()
        self.scale_and_shift = nn.Linear(latent_size, 2 * depth)

    def forward(self, hidden: Tensor, style: Tensor) -> Tensor:
        """(batch, …, height, width) and styles (batch, latent_size) to (batch, depth, height, width)."""
        hidden = self.convolution(hidden)
        noise = torch.randn(len(hidden), 1, *hidden.shape[2:], device=hidden.device, dtype=hidden.dtype)
        hidden = leaky_relu(hidden + self.noise_size * noise, 0.2)
        scale, shift = self.scale_and_shift(style)[:, :, None, None].chunk(2, dim=1)
        return self.norm(hidden) * (1 + scale) + shift


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 1 / math.sqrt(module.in_features))
    else:
        initialise_he(module)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


class StyleGANNetwork(Network):
    """Two layers, thus two styles, a resolution; channels halve whenever the image doubles."""

    generator_type: ClassVar = StyleGANGenerator
    per_sample: ClassVar[bool] = True  # no batch norm in the discriminator
    memory_format: ClassVar[torch.memory_format] = torch.contiguous_format  # faster with instance norms
    latent_size: Size  # of latents and of styles
    mapping_layers: Annotated[int, Field(ge=1, le=100)]
    mapping_learning_rate: Annotated[float, Field(gt=0, le=1)]  # of the mapping network, relative to the others'
    base_channels: Size  # at the data's size
    style_mixing: Share  # of images, in training, whose later layers follow another image's style
    discriminator_channels: Size  # at half the data's size

    @override
    def discriminator(self, image_shape: ImageShape, classes: int, outputs: int = 1) -> StridedDiscriminator:
        return StridedDiscriminator(image_shape, self.discriminator_channels, outputs).apply(_initialise)
