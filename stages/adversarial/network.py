"""The contract of networks: a generator and a discriminator that fit each other.

A file in stages/networks/ defines a class Network, whose fields are the options that params.yaml must give it.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from stages.support.params import Part

ImageShape = tuple[int, int, int]  # (channels, height, width)


class Generator(nn.Module):
    """Latents (batch, …), and labels (batch,) where conditional, to images in [-1, 1] of the data's shape.

    What changes in the course of training (a stage of growth, say) is kept in buffers: the engine's average
    takes parameters and batch statistics smoothly, and copies every other buffer.
    """

    latent_size: int
    conditional: bool = False

    def latent(self, labels: Tensor) -> Tensor:
        """One latent a label, from torch's own random numbers, on the labels' device: N(0, I) here."""
        return torch.randn(len(labels), self.latent_size, device=labels.device)

    @torch.no_grad()
    def sample(self, labels: Tensor, *, seed: int, batch_size: int = 500) -> Tensor:
        """Images (count, channels, height, width) in [-1, 1], one a label (count,).

        The latents are drawn on the CPU, so that a seed asks for the same images on every device. The state
        of torch's random numbers and of the module is left as it was.
        """
        device = labels.device
        was_training = self.training
        self.eval()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            latents = self.latent(labels.cpu()).to(device)
            batches = zip(latents.split(batch_size), labels.split(batch_size), strict=True)
            images = torch.cat([self(latent, batch) for latent, batch in batches])
        self.train(was_training)
        return images


class Network(Part):
    """Options of a family of networks, and how to build its two players."""

    @abstractmethod
    def generator(self, image_shape: ImageShape, classes: int) -> Generator:
        """A generator of images of that shape."""

    @abstractmethod
    def discriminator(self, image_shape: ImageShape, classes: int) -> nn.Module:
        """Images and labels to logits of any shape: one an image, or a map."""
