"""The game: two players and the rules between them. The engine asks a variant for nothing else.

A file in stages/games/ defines a class Game (a subclass of `Rules` here): the options of a game, and how to build it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from stages.adversarial.network import ImageShape, Network
from stages.adversarial.roles import Judgement, Objective, Regularizer
from stages.support.params import Part


@dataclass(frozen=True)
class Losses:
    """A scalar to minimise, and named scalars to plot."""

    loss: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)


class Game(nn.Module):
    """The standard game; images are (batch, channels, height, width) in [-1, 1], labels (batch,).

    `generator` and `discriminator` hold all that each player learns. A variant with rules of its own
    overrides methods here; it never touches the engine.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        regularizer: Regularizer,
        image_shape: ImageShape,
        classes: int,
    ) -> None:
        super().__init__()
        self.generator = network.generator(image_shape, classes)
        self.discriminator = network.discriminator(image_shape, classes)
        self.objective = objective
        self.regularizer = regularizer
        self.round_index = 0  # of the discriminator

    def begin(self, progress: float) -> None:
        """Called before every step with the share of training done, in [0, 1): growth, decays."""

    def discriminator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """The discriminator's loss on one batch and as many fakes; no gradient reaches the generator."""
        with torch.no_grad():
            fake = self.generator(self.generator.latent(labels), labels)
        is_due = self.regularizer.is_due(self.round_index)
        self.round_index += 1
        real = real.detach().requires_grad_(is_due and self.regularizer.real_gradient)
        fake = fake.detach().requires_grad_(is_due and self.regularizer.fake_gradient)
        discriminate = partial(self._logits, labels=labels)
        real_logits, fake_logits = discriminate(real), discriminate(fake)
        loss = self.objective.discriminator_loss(real_logits, fake_logits)
        penalty = loss.new_zeros(())
        if is_due:
            judgement = Judgement(discriminate, real, fake, real_logits, fake_logits)
            penalty = self.regularizer.penalty(judgement)
        scalars = {
            "discriminator_loss": loss,
            "penalty": penalty,
            "real_logits": real_logits.mean(),
            "fake_logits": fake_logits.mean(),
        }
        return Losses(loss + penalty, scalars)

    def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """The generator's loss on as many new fakes as the batch has images."""
        fake = self.generator(self.generator.latent(labels), labels)
        real_logits = self._logits(real, labels) if self.objective.relativistic else None
        loss = self.objective.generator_loss(real_logits, self._logits(fake, labels))
        return Losses(loss, {"generator_loss": loss})

    def after_discriminator_step(self) -> None:
        """Called after every step of the discriminator."""
        self.regularizer.after_discriminator_step(self.discriminator)

    def _logits(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.discriminator(images, labels).float()  # losses are float32 under autocast too


class Rules(Part):
    """Options of a game, and how to build it from the other parts."""

    @abstractmethod
    def build(
        self, network: Network, objective: Objective, regularizer: Regularizer, image_shape: ImageShape, classes: int
    ) -> Game:
        """A new game, its players freshly initialised from torch's random numbers."""
