"""The standard game: one generator, one discriminator, new fakes for each step (Goodfellow et al., 2014)."""

from __future__ import annotations

from stages.adversarial import game
from stages.adversarial.network import ImageShape, Network
from stages.adversarial.roles import Objective, Regularizer


class Game(game.Rules):
    """No options."""

    def build(
        self, network: Network, objective: Objective, regularizer: Regularizer, image_shape: ImageShape, classes: int
    ) -> game.Game:
        """See the contract."""
        return game.Game(network, objective, regularizer, image_shape, classes)
