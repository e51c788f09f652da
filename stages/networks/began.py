"""An autoencoder for a discriminator (Berthelot et al., 2017, section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from stages.config.components import Strict
from stages.config.types import Size
from stages.contracts.generator import Generator, ImageShape
from stages.contracts.network import Network
from stages.networks.layers import doubling

LEAST_INK = 0.05  # keeps the error of an empty image finite


class Convolutional(Strict):
    """As in the paper, but halved twice, and only the first and the last layer work at the image's own size."""

    name: Literal["convolutional"]
    channels: Size  # of the decoder; the encoder has two and three times as many

    def build(self, image_shape: ImageShape, code_size: int) -> tuple[nn.Module, nn.Module]:
        """Encoder and decoder: images (batch, channels, height, width) to codes (batch, code_size), and back."""
        channels, height, width = image_shape
        base, start = self.channels, (-(-height // 4), -(-width // 4))
        encoder = nn.Sequential(
            *(nn.Conv2d(channels, 2 * base, 3, stride=2, padding=1), nn.ELU()),
            *(nn.Conv2d(2 * base, 3 * base, 3, stride=2, padding=1), nn.ELU()),
            *(nn.Flatten(), nn.Linear(3 * base * start[0] * start[1], code_size)),
        )
        decoder = nn.Sequential(
            *(nn.Linear(code_size, base * start[0] * start[1]), nn.Unflatten(1, (base, *start))),
            *(nn.Conv2d(base, base, 3, padding=1), nn.ELU(), nn.Upsample((height // 2, width // 2))),
            *(nn.Conv2d(base, base, 3, padding=1), nn.ELU(), nn.Upsample((height, width))),
            nn.Conv2d(base, channels, 3, padding=1),
        )
        return encoder, decoder


class FullyConnected(Strict):
    """It sees the image whole; convolutions learn to reconstruct any stroke, whether or not a digit has it there."""

    name: Literal["fully_connected"]
    widths: Annotated[list[Size], Field(min_length=1, max_length=100)]  # hidden layers before the code; mirrored after

    def build(self, image_shape: ImageShape, code_size: int) -> tuple[nn.Module, nn.Module]:
        """Encoder and decoder: images (batch, channels, height, width) to codes (batch, code_size), and back."""
        sizes = [image_shape[0] * image_shape[1] * image_shape[2], *self.widths, code_size]
        encoder = nn.Sequential(nn.Flatten(), _linear_layers(sizes))
        return encoder, nn.Sequential(_linear_layers(sizes[::-1]), nn.Unflatten(1, image_shape))


class BEGANGenerator(Generator):
    """Latents to a quarter of the image's size, and by two transposed convolutions to all of it."""

    def __init__(self, options: BEGANNetwork, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        channels, height, width = image_shape
        base, start = options.generator_channels, (height // 4, width // 4)
        self.layers = nn.Sequential(
            nn.Linear(options.latent_size, 2 * base * start[0] * start[1]),
            nn.Unflatten(1, (2 * base, *start)),
            *(nn.BatchNorm2d(2 * base), nn.ReLU(), doubling(2 * base, base, (height // 2, width // 2))),
            *(nn.BatchNorm2d(base), nn.ReLU(), doubling(base, channels, (height, width))),
        )

    @override
    def latent(self, labels: Tensor) -> Tensor:
        """Uniform in [-1, 1]."""
        return torch.rand(len(labels), self.latent_size, device=labels.device) * 2 - 1

    @override
    def mix_latents(self, start: Tensor, end: Tensor, share: Tensor) -> Tensor:
        """Along a straight line, which stays within [-1, 1]."""
        return torch.lerp(start, end, share)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, channels, height, width); labels are not looked at."""
        return torch.tanh(self.layers(latent))


class Autoencoder(nn.Module):
    """An autoencoder; how well it knows an image is the logit."""

    def __init__(self, options: BEGANNetwork, image_shape: ImageShape, classes: int, outputs: int) -> None:
        super().__init__()
        self.ink_power = options.ink_power
        self.encoder, self.decoder = options.autoencoder.build(image_shape, options.latent_size)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Minus each image's error, (batch, 1): at most 0, higher for real images.

        That is the mean absolute error of its reconstruction, over its ink (how much brighter than black it is in
        the mean, and a little more) to the power asked for.
        """
        error = (images - self.reconstruct(images)).abs().flatten(1).mean(dim=1, keepdim=True)
        ink = (images + 1).abs().flatten(1).mean(dim=1, keepdim=True)
        return -error / (ink + LEAST_INK) ** self.ink_power

    def reconstruct(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same."""
        return self.decoder(self.encoder(images))


def _linear_layers(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of these sizes, an ELU between each two."""
    layers = [layer for size, after in pairwise(sizes) for layer in (nn.Linear(size, after), nn.ELU())]
    return nn.Sequential(*layers[:-1])


class BEGANNetwork(Network):
    """The generator is not the paper's, which is like the decoder, but DCGAN's."""

    generator_type: ClassVar = BEGANGenerator
    discriminator_type: ClassVar = Autoencoder
    per_sample: ClassVar[bool] = True  # no batch norm in the discriminator
    kind: ClassVar[str] = "autoencoding"
    latent_size: Size  # of the generator's latents and of the autoencoder's code
    generator_channels: Size  # at half the image's size; twice as many at a quarter of it
    autoencoder: Annotated[Convolutional | FullyConnected, Field(discriminator="name")]
    # an image's error is divided by its ink to this power, else images with little ink win; paper: 0
    ink_power: Annotated[float, Field(ge=0, le=1)]
