"""The three roles that the parts of a variant play, as contracts.

A part's file defines one class under its role's name (Network, Objective, Regularizer), whose fields are
the options that params.yaml must give it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from stages.support.params import Part

ImageShape = tuple[int, int, int]  # (channels, height, width)


class Generator(nn.Module):
    """Latents (batch, latent_size) ~ N(0, I), and labels (batch,) where conditional, to images in [-1, 1]."""

    latent_size: int
    conditional: bool = False

    def latent(self, labels: Tensor) -> Tensor:
        """One latent a label, from torch's own random numbers, on the labels' device."""
        return torch.randn(len(labels), self.latent_size, device=labels.device)

    @torch.no_grad()
    def sample(self, labels: Tensor, *, seed: int, batch_size: int = 500) -> Tensor:
        """Images (count, channels, height, width) in [-1, 1], one a label (count,).

        The latents are drawn on the CPU, so that a seed names the same images on every device. The state
        of torch's random numbers and of the module is left as it was.
        """
        device = labels.device
        was_training = self.training
        self.eval()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            latents = torch.randn(len(labels), self.latent_size).to(device)
            batches = zip(latents.split(batch_size), labels.split(batch_size), strict=True)
            images = torch.cat([self(latent, batch) for latent, batch in batches])
        self.train(was_training)
        return images


class Network(Part):
    """A generator and a discriminator that fit each other."""

    @abstractmethod
    def generator(self, image_shape: ImageShape, classes: int) -> Generator:
        """A generator of images of that shape."""

    @abstractmethod
    def discriminator(self, image_shape: ImageShape, classes: int) -> nn.Module:
        """Images and labels to logits of any shape: one an image, or a map."""


class Objective(Part):
    """What the two players minimise, as means over logits of any shape."""

    relativistic: ClassVar[bool] = False  # whether the generator's loss looks at real logits

    @abstractmethod
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Scalar."""

    @abstractmethod
    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Scalar; `real_logits` is None unless the objective is relativistic."""


@dataclass(frozen=True)
class Judgement:
    """What a regularizer may look at: one round of images and what the discriminator said of them."""

    discriminate: Callable[[Tensor], Tensor]  # images to logits, the batch's labels bound
    real: Tensor  # (batch, channels, height, width)
    fake: Tensor  # same shape, detached from the generator
    real_logits: Tensor  # (batch, …)
    fake_logits: Tensor


class Regularizer(Part):
    """A penalty on the discriminator."""

    real_gradient: ClassVar[bool] = False  # whether real_logits must be differentiable in `real`
    fake_gradient: ClassVar[bool] = False

    def is_due(self, round_index: int) -> bool:
        """Whether this round of the discriminator is penalised; rounds count from 0."""
        return True

    @abstractmethod
    def penalty(self, judgement: Judgement) -> Tensor:
        """Scalar, weight included."""


def input_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Gradient of each image's summed logits in that image, (batch, pixels); differentiable.

    The sum over the batch gives every image its own gradient as long as the discriminator treats images
    one by one, which is why penalised discriminators have no batch norm.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1)
