"""The discriminator also names the class, of real images and of fakes (Odena et al., 2017, section 3)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from typing_extensions import override

from stages.config.types import NonNegative
from stages.contracts.gan import GAN, Fakes, GANOptions
from stages.contracts.generator import ImageShape
from stages.contracts.network import Network


class ACGAN(GAN):
    """Outputs (batch, 1 + classes): the logit, then one for each class."""

    options: ACGANOptions

    @override
    def discriminator_auxiliary_losses(
        self, real_outputs: Tensor, fake_outputs: Tensor, fakes: Fakes, labels: Tensor
    ) -> dict[str, Tensor]:
        """Cross entropy of the class, on real images and on fakes."""
        real, fake = cross_entropy(real_outputs[:, 1:], labels), cross_entropy(fake_outputs[:, 1:], labels)
        weight = self.options.class_weight
        return {"real_class_loss": weight * real, "fake_class_loss": weight * self.options.fake_class_share * fake}

    @override
    def generator_auxiliary_losses(self, fake_outputs: Tensor, fakes: Fakes, labels: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the asked class."""
        return {"generator_class_loss": self.options.class_weight * cross_entropy(fake_outputs[:, 1:], labels)}


class ACGANOptions(GANOptions):
    """How much the class counts."""

    module: ClassVar[type[GAN]] = ACGAN
    class_weight: NonNegative  # paper: 1
    fake_class_share: NonNegative  # of fakes in the discriminator's class loss; paper: 1

    @override
    def check_labels(self, network: Network) -> None:
        """Only the generator may see labels: the discriminator is to find them out."""
        if not network.generator_sees_labels or network.discriminator_sees_labels:
            raise ValueError(
                f"gan acgan asks for labels: network {network.name} must show them to the generator and not to the "
                "discriminator"
            )

    @override
    def discriminator(self, network: Network, image_shape: ImageShape, classes: int) -> nn.Module:
        """One output more for each class."""
        return network.discriminator(image_shape, classes, outputs=1 + classes)
