"""The contract of networks: a generator and a discriminator that fit each other.

A file in stages/networks/ defines one subclass of `Network`, whose fields are the options that params.yaml gives.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import nn

from stages.config.components import Component
from stages.contracts.generator import Generator, ImageShape


class Network(Component):
    """Options of a family of networks, and how to build its generator and discriminator."""

    role: ClassVar[str] = "network"
    kind: ClassVar[str] = "plain"  # growing, translating, autoencoding: what a GAN must be made for
    # of weights in training, thus of feature maps: convolutions are mostly faster in channels last
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    @property
    def per_sample(self) -> bool:
        """Whether no image's logit depends on the rest of its batch, as batch norm makes it.

        Real and fake images then share one batch, which is faster; else each has a batch of its own.
        """
        return False

    @property
    def generator_sees_labels(self) -> bool:
        """Whether the generator's images depend on labels."""
        return False

    @property
    def discriminator_sees_labels(self) -> bool:
        """Whether the discriminator is told an image's label."""
        return False

    @abstractmethod
    def generator(self, image_shape: ImageShape, classes: int) -> Generator:
        """A generator of images of that shape."""

    @abstractmethod
    def discriminator(self, image_shape: ImageShape, classes: int, outputs: int = 1) -> nn.Module:
        """Images and labels to (batch, outputs, …): the first output is the logit, more are a GAN's to use."""
