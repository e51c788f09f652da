"""Both players grow while they learn, each new resolution fading in (Karras et al., 2018, section 2)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from stages.adversarial import game
from stages.adversarial.game import Fakes, Losses
from stages.settings.params import Rate


class ProgressiveGame(game.Game):
    """The discriminator judges images at the resolution that both players have grown to."""

    rules: Game
    generator: Any  # a growing one, as the rules check
    discriminator: Any

    def begin(self, progress: float) -> None:
        """Set both players' stage of growth by the schedule."""
        super().begin(progress)
        growth = self.growth_at(progress)
        self.generator.growth.fill_(growth)
        self.discriminator.growth.fill_(growth)

    def growth_at(self, progress: float) -> float:
        """Growth at a share of training: every resolution first rests, then the next fades in, for equally long."""
        last = len(self.generator.to_images) - 1
        growth = progress / self.rules.grown_at * last  # each whole step is one rest and one fade
        if growth >= last:
            return float(last)
        return math.floor(growth) + max(0.0, 2 * (growth % 1) - 1)

    def prepare(self, real: Tensor) -> Tensor:
        """Real images at the resolution grown to, as blurred as the fade-in leaves fakes."""
        index, alpha = self.generator.stage()
        steps = len(self.generator.to_images) - 1 - index
        real = avg_pool2d(real, 2**steps) if steps else real
        if alpha < 1:
            blurred = interpolate(avg_pool2d(real, 2), scale_factor=2)
            real = torch.lerp(blurred, real, alpha)
        return real

    def generate(self, labels: Tensor) -> Fakes:
        """Fakes at the resolution grown to."""
        latent = self.generator.latent(labels)
        return Fakes(self.generator.grown(latent), latent)

    def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """As in the standard game; the fade-in's share and the image height are plotted."""
        losses = super().generator_loss(real, labels)
        index, alpha = self.generator.stage()
        height = self.generator.size[0] // 2 ** (len(self.generator.to_images) - 1 - index)
        stage = {"alpha": torch.tensor(alpha), "resolution": torch.tensor(float(height))}
        return Losses(losses.loss, losses.scalars | stage)


class Game(game.Rules):
    """When growth is over; the resolutions are the network's."""

    network_kind: ClassVar[str] = "growing"
    players: ClassVar[type[game.Game]] = ProgressiveGame
    grown_at: Rate  # share of training after which both players work at the data's size alone
