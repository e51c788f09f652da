"""The contract of networks: a generator and a discriminator that fit each other.

A file in stages/networks/ defines one subclass of `Network`, whose fields are the options that params.yaml gives.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import nn

from stages.config.components import Component
from stages.config.errors import StageError
from stages.contracts.generator import Generator, ImageShape


class Network(Component):
    """Options of a family of networks, and how to build its generator and discriminator."""

    role: ClassVar[str] = "network"
    kind: ClassVar[str] = "plain"  # growing, paired, autoencoding, …: what a GAN must be made for
    # of weights in training, thus of feature maps: convolutions are mostly faster in channels last
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    # whether no image's logit depends on the rest of its batch, as batch norm makes it: real and fake images
    # then share one batch, which is faster
    per_sample: ClassVar[bool] = False
    generator_type: ClassVar[Callable[..., Generator]]  # of these options, image shape, number of classes
    discriminator_type: ClassVar[Callable[..., nn.Module]]  # of the same, and the number of outputs

    @property
    def generator_sees_labels(self) -> bool:
        """Whether the generator's images depend on labels."""
        return False

    @property
    def discriminator_sees_labels(self) -> bool:
        """Whether the discriminator gets an image's label."""
        return False

    def generator(self, image_shape: ImageShape, classes: int) -> Generator:
        """A new generator of images of that shape."""
        return self.generator_type(self, image_shape, classes)

    def discriminator(self, image_shape: ImageShape, classes: int, outputs: int = 1) -> nn.Module:
        """Images and labels to (batch, outputs, …): the first output is the logit, more are a GAN's to use."""
        return self.discriminator_type(self, image_shape, classes, outputs)


def halved_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """The image's size halved until a side is at most 4: 28, 14, 7, 3 or 64, 32, 16, 8, 4.

    Raises StageError for images that are too small to be halved.
    """
    sizes = [(height, width)]
    while min(sizes[-1]) > 4:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    if len(sizes) == 1:
        raise StageError(f"images of {height}×{width} pixels are too small: strided networks need more than 4 a side")
    return sizes
