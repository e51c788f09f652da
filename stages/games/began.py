"""Boundary equilibrium: how much fakes count keeps a ratio of errors (Berthelot et al., 2017, sections 3.3 and 3.4)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from stages.adversarial import game
from stages.adversarial.game import Losses
from stages.adversarial.network import ImageShape, Network
from stages.adversarial.roles import Objective, Regularizer
from stages.settings.params import NonNegative, Rate


class EquilibriumGame(game.Game):
    """Logits are minus reconstruction errors L; the discriminator minimises L(x) - k L(G(z)), the generator L(G(z))."""

    rules: Game
    k: Tensor
    errors: Tensor

    def set_up(self, image_shape: ImageShape) -> None:
        """See the contract."""
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("errors", torch.zeros(2))  # of the last real images and fakes

    def discriminator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """L(x) - k L(G(z)); among the scalars the measure of convergence, L(x) + |γ L(x) - L(G(z))| (section 3.4.1)."""
        losses = super().discriminator_loss(real, labels)
        real_error, fake_error = -losses.scalars["real_logits"], -losses.scalars["fake_logits"]
        self.errors.copy_(torch.stack([real_error, fake_error]).detach())
        convergence = real_error + (self.rules.diversity * real_error - fake_error).abs()
        # the Wasserstein loss is L(x) - L(G(z)): what is missing is (1 - k) L(G(z))
        loss = losses.loss + (1 - self.k) * fake_error
        scalars = losses.scalars | {
            "discriminator_loss": real_error - self.k * fake_error,
            "k": self.k.clone(),
            "convergence": convergence,
        }
        return Losses(loss, scalars)

    @torch.no_grad()
    def after_discriminator_step(self) -> None:
        """Move k in proportion to how far the errors are from their ratio (equation 2), within [0, 1]."""
        super().after_discriminator_step()
        real_error, fake_error = self.errors
        self.k.add_(self.rules.k_rate * (self.rules.diversity * real_error - fake_error)).clamp_(0, 1)


class Game(game.Rules):
    """The equilibrium to keep, and how fast k moves to keep it."""

    network_kind: ClassVar[str] = "autoencoding"
    players: ClassVar[type[game.Game]] = EquilibriumGame
    diversity: Rate  # γ, the ratio of errors L(G(z)) / L(x); paper: 0.3 to 0.7
    k_rate: NonNegative  # λ; paper: 0.001

    def check(self, network: Network, objective: Objective, regularizer: Regularizer) -> None:
        """Errors are compared as the Wasserstein objective does."""
        super().check(network, objective, regularizer)
        if objective.name != "wasserstein":
            raise ValueError(f"game began does not fit objective {objective.name}; expected wasserstein")
