"""Small discriminators of features that a fixed network gives at several scales (Sauer et al., 2021, section 3).

The paper's features come from a network pretrained on ImageNet. Here they are random convolutions, which know nothing
of the data, its labels or the scores. Their channels are mixed at each scale; scales are not mixed (the paper's CSM).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu
from torch.nn.utils.parametrizations import spectral_norm
from typing_extensions import override

from stages.config.types import Size
from stages.contracts.gan import GANOptions
from stages.contracts.generator import ImageShape
from stages.contracts.network import Network, halved_sizes


class FixedConv(nn.Module):
    """A convolution with frozen weights, drawn as He et al. (2015) have it, in a buffer."""

    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.padding = stride, (kernel_size - 1) // 2
        weight = torch.randn(out_channels, in_channels, kernel_size, kernel_size)
        weight *= math.sqrt(2 / (in_channels * kernel_size**2))
        self.register_buffer("weight", weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, in_channels, height, width) to (batch, out_channels, height / stride, width / stride)."""
        return conv2d(hidden, self.weight.to(hidden.dtype), stride=self.stride, padding=self.padding)


class ProjectedDiscriminator(nn.Module):
    """At each scale of the fixed features a mixture of their channels, and a discriminator of it."""

    def __init__(self, options: ProjectedOptions, image_shape: ImageShape) -> None:
        super().__init__()
        channels, *size = image_shape
        sizes = halved_sizes(*size)[1:]
        depths = [options.feature_channels * 2**halving for halving in range(len(sizes))]
        self.features = nn.ModuleList(
            FixedConv(shallow, deep, 4, stride=2) for shallow, deep in zip([channels, *depths], depths, strict=False)
        )
        self.channel_mixing = nn.ModuleList(
            FixedConv(depth, depth, 1) for depth in depths
        )  # section 3.2: across channels
        self.heads = nn.ModuleList(
            _head(depth, options.discriminator_channels, small) for depth, small in zip(depths, sizes, strict=True)
        )

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, 1, logits of all scales); labels are not looked at."""
        logits, hidden = [], images
        for features, mixing, head in zip(self.features, self.channel_mixing, self.heads, strict=True):
            hidden = leaky_relu(features(hidden), 0.2)
            logits.append(head(mixing(hidden)).flatten(2))
        return torch.cat(logits, dim=2)


def _head(depth: int, width: int, size: tuple[int, int]) -> nn.Sequential:
    """Convolutions of stride 2 to at most 4 pixels a side, then one logit for the whole image."""
    layers: list[nn.Module] = []
    while min(size) > 4:
        layers += [spectral_norm(nn.Conv2d(depth, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        depth, size = width, (size[0] // 2, size[1] // 2)
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(depth, 1, size)))


class ProjectedOptions(GANOptions):
    """How large the discriminator is; it takes the place of the network's own."""

    without_labels: ClassVar[str] = "judges without labels"
    feature_channels: Size  # at half the image's size; twice as many whenever it halves again
    discriminator_channels: Size  # of each scale's discriminator

    @override
    def discriminator(self, network: Network, image_shape: ImageShape, classes: int) -> nn.Module:
        """Discriminators of fixed features."""
        return ProjectedDiscriminator(self, image_shape)
