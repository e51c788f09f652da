"""An autoencoder for a discriminator, and a generator like its decoder (Berthelot et al., 2017, section 3.5)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from stages.adversarial import network
from stages.adversarial.network import ImageShape
from stages.settings.params import Size


class Network(network.Network):
    """The image is halved twice; encoder channels grow by `base_channels` at each halving, decoder channels stay.

    Unlike the paper's, no layer but the first and the last works at the image's own size: 1.6 times the images a
    second on a CPU.
    """

    kind: ClassVar[str] = "autoencoding"
    latent_size: Size  # of the generator's latents and of the autoencoder's code
    base_channels: Size
    generator_norm: Literal["none", "batch"]

    def generator(self, image_shape: ImageShape, classes: int) -> Generator:
        """See the contract."""
        return Generator(self, image_shape)

    def discriminator(self, image_shape: ImageShape, classes: int, outputs: int = 1) -> Discriminator:
        """See the contract."""
        return Discriminator(self, image_shape)


class Generator(network.Generator):
    """A decoder whose images are kept in [-1, 1]."""

    def __init__(self, options: Network, image_shape: ImageShape) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        self.decoder = _decoder(options, image_shape, options.generator_norm == "batch")

    def latent(self, labels: Tensor) -> Tensor:
        """Uniform in [-1, 1]."""
        return torch.rand(len(labels), self.latent_size, device=labels.device) * 2 - 1

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, channels, height, width); labels are not looked at."""
        return torch.tanh(self.decoder(latent))


class Discriminator(nn.Module):
    """An autoencoder; how well it knows an image is the logit."""

    def __init__(self, options: Network, image_shape: ImageShape) -> None:
        super().__init__()
        channels, height, width = image_shape
        base = options.base_channels
        self.encoder = nn.Sequential(
            *(nn.Conv2d(channels, 2 * base, 3, stride=2, padding=1), nn.ELU()),
            *(nn.Conv2d(2 * base, 3 * base, 3, stride=2, padding=1), nn.ELU()),
            *(nn.Flatten(), nn.Linear(3 * base * -(-height // 4) * -(-width // 4), options.latent_size)),
        )
        self.decoder = _decoder(options, image_shape, False)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Minus each image's mean absolute error of reconstruction, (batch, 1): at most 0, higher for real images."""
        return -(images - self.reconstruct(images)).abs().flatten(1).mean(dim=1, keepdim=True)

    def reconstruct(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same."""
        return self.decoder(self.encoder(images))


def _decoder(options: Network, image_shape: ImageShape, normalised: bool) -> nn.Sequential:
    channels, height, width = image_shape
    base = options.base_channels
    start = (height // 4, width // 4)

    def convolution() -> list[nn.Module]:
        norm: list[nn.Module] = [nn.BatchNorm2d(base)] if normalised else []
        return [nn.Conv2d(base, base, 3, padding=1), *norm, nn.ELU()]

    return nn.Sequential(
        nn.Linear(options.latent_size, base * start[0] * start[1]),
        nn.Unflatten(1, (base, *start)),
        *(*convolution(), nn.Upsample((height // 2, width // 2))),
        *(*convolution(), nn.Upsample((height, width))),
        nn.Conv2d(base, channels, 3, padding=1),
    )
