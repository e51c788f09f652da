"""The contract of networks: a generator and a discriminator that fit each other.

A file in stages/networks/ defines a class Network, whose fields are the options that params.yaml must give it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm

from stages.settings.params import Part

ImageShape = tuple[int, int, int]  # (channels, height, width)


class Picture(NamedTuple):
    """Images (count, channels, height, width) in [-1, 1], to be shown in rows."""

    images: Tensor
    columns: int


class Generator(nn.Module):
    """Latents (batch, …), and labels (batch,) where they count, to images in [-1, 1] of the data's shape.

    What changes in the course of training (a stage of growth, say) is kept in buffers: the engine's average
    takes parameters and batch statistics smoothly, and copies every other buffer. Both it finds once, by their
    names: they are changed in place, never replaced, and no two names share a tensor.
    """

    latent_size: int
    label_role: Literal["ignored", "class", "code"] = "ignored"  # code: one that training gave its own meaning

    def latent(self, labels: Tensor) -> Tensor:
        """One latent a label, from torch's own random numbers, on the labels' device: N(0, I) here."""
        return torch.randn(len(labels), self.latent_size, device=labels.device)

    def generate(self, latent: Tensor, labels: Tensor, truncation: float) -> Tensor:
        """Images of latents drawn towards their mean: 1 leaves them alone, 0 makes them all one."""
        return self(latent * truncation, labels)

    @torch.no_grad()
    def sample(self, labels: Tensor, *, seed: int, truncation: float = 1.0, batch_size: int = 500) -> Tensor:
        """Images (count, channels, height, width) in [-1, 1], one a label (count,).

        The latents are drawn on the CPU, so that a seed gives the same ones on every device. The state
        of torch's random numbers and of the module is left as it was.
        """
        device = labels.device
        was_training = self.training
        self.eval()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            latents = self.latent(labels.cpu()).to(device)
            batches = zip(latents.split(batch_size), labels.split(batch_size), strict=True)
            images = torch.cat([self.generate(latent, batch, truncation) for latent, batch in batches])
        self.train(was_training)
        return images

    def pictures(self, *, seed: int) -> dict[str, Picture]:
        """What to show of this generator beside plain samples, by name: nothing here."""
        return {}


class Translator(Generator):
    """Two generators, from each of two domains of images to the other; its latents are images (batch, …)."""

    @abstractmethod
    def translate(self, images: Tensor, target: Literal["digits", "outlines"]) -> Tensor:
        """Images (batch, channels, height, width) in [-1, 1] of the other domain to those of `target`."""


class Network(Part):
    """Options of a family of networks, and how to build its two players."""

    kind: ClassVar[str] = "plain"  # growing, translating, autoencoding: what a game must be made for

    @property
    def judges_one_by_one(self) -> bool:
        """Whether no image's logit depends on the rest of its batch, as batch norm makes it.

        Real and fake images are then judged in one batch, which is faster; else each in a batch of their own.
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
        """Images and labels to (batch, outputs, …): the first output is the logit, more are a game's to use."""


class InstanceNorm(nn.Module):
    """Instance norm without weights (Ulyanov et al., 2016): groups of one channel, faster on a CPU than torch's own."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same, each channel of each image with mean 0 and variance 1."""
        return group_norm(hidden, hidden.shape[1])


def doubling(deep: int, shallow: int, larger: tuple[int, int], bias: bool = True) -> nn.ConvTranspose2d:
    """Doubling and convolution in one, transposed; an odd size takes an extra row or column."""
    extra = (larger[0] % 2, larger[1] % 2)
    return nn.ConvTranspose2d(deep, shallow, 4, stride=2, padding=1, output_padding=extra, bias=bias)
