"""The contract of GANs whose generator starts from images: fakes are made from the sources of real images."""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from stages.contracts.gan import GAN, Fakes, Losses
from stages.contracts.generator import evaluating, together
from stages.storage.pixels import to_float


class ImageToImage(GAN):
    """Each fake has a real image that it should be like: the one whose source it was made from."""

    generator: Any  # a Translator, as the options check
    real: Tensor  # (batch, channels, height, width) of the step that is being taken

    @override
    def discriminator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        self.real = real
        return super().discriminator_loss(real, labels)

    @override
    def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        self.real = real
        return super().generator_loss(real, labels)

    @override
    def generate(self, labels: Tensor) -> Fakes:
        """Fakes of the step's real images; their latents are the sources."""
        source = self.generator.source(self.real)
        return Fakes(self.generator(source, labels), source)

    @override
    @torch.no_grad()
    def sample(self, generator: Any, labels: Tensor, training_images: Tensor, *, seed: int) -> Tensor:
        """Images made from the sources of the first training images, one per label."""
        size = together(training_images)
        batches = zip(training_images[: len(labels)].split(size), labels.split(size), strict=True)
        with evaluating(generator):
            return torch.cat([generator(generator.source(to_float(real.to(one.device))), one) for real, one in batches])
