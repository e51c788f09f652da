"""The discriminator also names the class, of real images and of fakes (Odena et al., 2017, section 3)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stages.adversarial import game
from stages.adversarial.game import Fakes
from stages.adversarial.network import ImageShape, Network
from stages.settings.params import NonNegative


class AuxiliaryClassifierGame(game.Game):
    """Outputs (batch, 1 + classes): the logit, then one for each class."""

    rules: Game

    def discriminator_extras(
        self, real_outputs: Tensor, fake_outputs: Tensor, fakes: Fakes, labels: Tensor
    ) -> dict[str, Tensor]:
        """Cross entropy of the class, on real images and on fakes."""
        real, fake = cross_entropy(real_outputs[:, 1:], labels), cross_entropy(fake_outputs[:, 1:], labels)
        weight = self.rules.class_weight
        return {"real_class_loss": weight * real, "fake_class_loss": weight * self.rules.fake_class_share * fake}

    def generator_extras(self, fake_outputs: Tensor, fakes: Fakes, labels: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the asked class."""
        return {"generator_class_loss": self.rules.class_weight * cross_entropy(fake_outputs[:, 1:], labels)}


class Game(game.Rules):
    """How much the class counts beside real or fake."""

    players: ClassVar[type[game.Game]] = AuxiliaryClassifierGame
    class_weight: NonNegative  # paper: 1
    fake_class_share: NonNegative  # of fakes in the discriminator's class loss; paper: 1

    def check_labels(self, network: Network) -> None:
        """Only the generator may see labels: the discriminator is to find them out."""
        if not network.generator_sees_labels or network.discriminator_sees_labels:
            raise ValueError(
                f"game acgan asks for labels: network {network.name} must show them to the generator and not to the "
                "discriminator"
            )

    def discriminator(self, network: Network, image_shape: ImageShape, classes: int) -> nn.Module:
        """One output more for each class."""
        return network.discriminator(image_shape, classes, outputs=1 + classes)
