"""Super-resolution: images from their shrunk selves, by pixels, features and a discriminator (Ledig et al., 2017).

The paper compares features of VGG, which knows photographs (section 2.2.1). The pipeline's classifier would know
digits, but it is also what scores: a generator that is taught by its features is no longer judged by others. So
features here are those of the GAN's own discriminator, as in pix2pixHD (Wang et al., 2018, equation 4).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss
from typing_extensions import override

from stages.config.types import NonNegative
from stages.contracts.gan import GAN, Fakes, GANOptions
from stages.contracts.image_to_image import ImageToImage


class SRGAN(ImageToImage):
    """The discriminator's outputs are (batch, 1 + features): the logit, then what it saw in the image."""

    options: SRGANOptions

    @override
    def generator_auxiliary_losses(self, fake_outputs: Tensor, fakes: Fakes, labels: Tensor) -> dict[str, Tensor]:
        """Distances of fakes to the real images of their sources, in pixels (equation 4) and in features."""
        losses = {"pixel_loss": self.options.pixel_weight * mse_loss(fakes.images, self.real)}
        if self.options.feature_weight:
            with torch.no_grad():
                real_features = self._features(self.real, labels)
            distance = l1_loss(self._features(fakes.images, labels), real_features)
            losses["feature_loss"] = self.options.feature_weight * distance
        return losses

    def _features(self, images: Tensor, labels: Tensor) -> Tensor:
        """What the discriminator sees in images as they are: augmented, both would be changed in different ways."""
        features: Tensor = self.discriminator(images.float(), labels).float()[:, 1:]
        return features


class SRGANOptions(GANOptions):
    """How much pixels and features count next to the adversarial loss, which counts 1 (paper: 0.001, and pixels 1)."""

    network_kind: ClassVar[str] = "super_resolution"
    module: ClassVar[type[GAN]] = SRGAN
    pixel_weight: NonNegative  # of the mean squared error
    feature_weight: NonNegative  # of the mean absolute difference
