"""Strided convolutions, halving and doubling the image (Radford et al., 2016), for images of any size and depth."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from stages.adversarial import roles
from stages.adversarial.roles import ImageShape
from stages.support.errors import StageError
from stages.support.params import Positive


class Network(roles.Network):
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


class Generator(roles.Generator):
    """A linear layer to the smallest size, then transposed convolutions of stride 2."""

    def __init__(self, options: Network, image_shape: ImageShape) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        channels, height, width = image_shape
        halvings = _halvings(height, width)
        deepest = options.base_channels * 2 ** (halvings - 1)
        self.start_shape = (deepest, height >> halvings, width >> halvings)
        start = deepest * self.start_shape[1] * self.start_shape[2]
        self.start = nn.Linear(options.latent_size, start, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(deepest), nn.ReLU()]
        for halving in range(halvings - 1, 0, -1):
            depth = options.base_channels * 2 ** (halving - 1)
            layers += [nn.ConvTranspose2d(depth * 2, depth, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(depth), nn.ReLU()]
        layers += [nn.ConvTranspose2d(options.base_channels, channels, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(_initialise)

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size) to (batch, channels, height, width); labels are not looked at."""
        return self.layers(self.start(latent).unflatten(1, self.start_shape))


class Discriminator(nn.Module):
    """The generator's mirror: convolutions of stride 2, then one logit."""

    def __init__(self, options: Network, image_shape: ImageShape) -> None:
        super().__init__()
        channels, height, width = image_shape
        halvings = _halvings(height, width)
        layers: list[nn.Module] = []
        for halving in range(halvings):
            depth = options.base_channels * 2**halving
            norm = _norm(options.discriminator_norm, depth) if halving else []
            layers += [nn.Conv2d(channels, depth, 4, stride=2, padding=1, bias=not norm)]
            layers += [*norm, nn.LeakyReLU(0.2)]
            channels = depth
        end = channels * (height >> halvings) * (width >> halvings)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(end, 1))
        self.apply(_initialise)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, 1); labels are not looked at."""
        return self.layers(images)


def _halvings(height: int, width: int) -> int:
    """How often the image can be halved until a side is odd or no longer than 4: 28 → 7, 64 → 4."""
    halvings = 0
    while min(height, width) > 4 and height % 2 == 0 and width % 2 == 0:
        height, width, halvings = height // 2, width // 2, halvings + 1
    if not halvings:
        raise StageError(f"images of {height}×{width} cannot be halved; pad them to an even size")
    return halvings


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
