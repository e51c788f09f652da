"""Layers that several networks share."""

import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import group_norm

from stages.contracts.generator import ImageShape
from stages.contracts.network import halved_sizes


class InstanceNorm(nn.Module):
    """Instance norm without weights (Ulyanov et al., 2016): groups of one channel, faster on a CPU than torch's own."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same, each channel of each image with mean 0 and variance 1."""
        return group_norm(hidden, hidden.shape[1])


class Residual(nn.Module):
    """Layers, added to their input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same."""
        return hidden + self.layers(hidden)


def doubling(deep: int, shallow: int, larger: tuple[int, int], bias: bool = True) -> nn.ConvTranspose2d:
    """Doubling and convolution in one, transposed; an odd size takes an extra row or column."""
    extra = (larger[0] % 2, larger[1] % 2)
    return nn.ConvTranspose2d(deep, shallow, 4, stride=2, padding=1, output_padding=extra, bias=bias)


def initialise_normal(module: nn.Module) -> None:
    """Weights of a layer from N(0, 0.02²) (Radford et al., 2016, section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0, 0.02)


def initialise_he(module: nn.Module) -> None:
    """Weights that keep the size of what passes through (He et al., 2015), where no norm would mend it."""
    if isinstance(module, nn.ConvTranspose2d):  # each pixel gathers kernel / stride² of the inputs
        fan_in = module.in_channels * math.prod(module.kernel_size) / math.prod(module.stride)
        nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_in))
    elif isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, 0.2)
    elif isinstance(module, nn.Embedding):
        nn.init.zeros_(module.weight)


class StridedDiscriminator(nn.Module):
    """Convolutions of stride 2 down to the smallest size, then one linear layer (Radford et al., 2016, section 3).

    Channels double whenever the image halves, from `base_channels` at half its size. `norm(depth)` gives the layers
    between a convolution and its activation, on all but the first.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        base_channels: int,
        outputs: int,
        norm: Callable[[int], list[nn.Module]] = lambda depth: [],
    ) -> None:
        super().__init__()
        channels, *size = image_shape
        sizes = halved_sizes(*size)
        layers: list[nn.Module] = []
        for halving in range(len(sizes) - 1):
            depth = base_channels * 2**halving
            norms = norm(depth) if halving else []
            layers += [nn.Conv2d(channels, depth, 4, stride=2, padding=1, bias=not norms), *norms, nn.LeakyReLU(0.2)]
            channels = depth
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.features = channels * math.prod(sizes[-1])
        self.head = nn.Linear(self.features, outputs)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, outputs); labels are not looked at."""
        return self.head(self.layers(images))
