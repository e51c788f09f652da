"""Self-attention and spectral norm in both players (Zhang et al., 2019), on strided convolutions."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stages.config.types import Size
from stages.contracts.generator import Generator, ImageShape
from stages.contracts.network import Network
from stages.networks.layers import doubling


class SAGANGenerator(Generator):
    """A linear layer to a quarter of the image, doubled twice."""

    def __init__(self, options: SAGANNetwork, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        channels, height, width = image_shape
        base = options.base_channels
        self.start_shape = (2 * base, height // 4, width // 4)
        self.start = spectral_norm(nn.Linear(options.latent_size, 2 * base * (height // 4) * (width // 4)))
        half, quarter = _attention(options, base, 1), _attention(options, 2 * base, 2)
        self.layers = nn.Sequential(
            *(nn.BatchNorm2d(2 * base), nn.ReLU(), *quarter),
            spectral_norm(doubling(2 * base, base, (height // 2, width // 2))),
            *(nn.BatchNorm2d(base), nn.ReLU(), *half),
            doubling(base, channels, (height, width)),  # of unit norm it could not reach -1 and 1 through tanh
            nn.Tanh(),
        )

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, channels, height, width); labels are not looked at."""
        return self.layers(self.start(latent).unflatten(1, self.start_shape))


class SAGANDiscriminator(nn.Module):
    """Convolutions of stride 2, then one logit."""

    def __init__(self, options: SAGANNetwork, image_shape: ImageShape, classes: int, outputs: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        base = options.base_channels
        half, quarter = _attention(options, base, 1), _attention(options, 2 * base, 2)
        self.layers = nn.Sequential(
            *(spectral_norm(nn.Conv2d(channels, base, 4, stride=2, padding=1)), nn.LeakyReLU(0.1), *half),
            *(spectral_norm(nn.Conv2d(base, 2 * base, 4, stride=2, padding=1)), nn.LeakyReLU(0.1), *quarter),
            *(spectral_norm(nn.Conv2d(2 * base, 4 * base, 4, stride=2, padding=1)), nn.LeakyReLU(0.1)),
            nn.Flatten(),
            spectral_norm(nn.Linear(4 * base * (height // 8) * (width // 8), outputs)),
        )

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, outputs); labels are not looked at."""
        return self.layers(images)


class SelfAttention(nn.Module):
    """Every pixel looks at every other: x + γ · o, with γ learned from 0 (section 3, equations 1 to 3).

    As in the first version of the paper, values have all channels, and no convolution follows.
    """

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.query = spectral_norm(nn.Conv2d(channels, attention_channels, 1, bias=False))
        self.key = spectral_norm(nn.Conv2d(channels, attention_channels, 1, bias=False))
        self.value = spectral_norm(nn.Conv2d(channels, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same."""
        query, key, value = (layer(hidden).flatten(2) for layer in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(dim=2)  # (batch, pixels that look, pixels looked at)
        attended = value @ weights.transpose(1, 2)
        return hidden + self.gamma * attended.unflatten(2, hidden.shape[2:])


def _attention(options: SAGANNetwork, channels: int, halvings: int) -> list[nn.Module]:
    """Attention, if this is the place for it."""
    return [SelfAttention(channels, options.attention_channels)] if halvings == options.attention_halvings else []


class SAGANNetwork(Network):
    """Both players attend where the image has been halved `attention_halvings` times."""

    generator_type: ClassVar = SAGANGenerator
    discriminator_type: ClassVar = SAGANDiscriminator
    per_sample: ClassVar[bool] = True  # no batch norm in the discriminator
    latent_size: Size
    base_channels: Size  # at half the image's size
    attention_halvings: Literal[1, 2]  # the cost of attention grows with the square of the pixels there
    attention_channels: Size  # of queries and keys; paper: an eighth of the layer's
