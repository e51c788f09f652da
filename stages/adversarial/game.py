"""The game: two players and the rules between them. The engine asks a variant for nothing else.

A file in stages/games/ defines a class Game (a subclass of `Rules` here): the options of a game, and how to build it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from stages.adversarial.network import Generator, ImageShape, Network
from stages.adversarial.roles import Judgement, Objective, Regularizer
from stages.settings.params import NonNegative, Part, Rate


@dataclass(frozen=True)
class Losses:
    """A scalar to minimise, and named scalars to plot."""

    loss: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Fakes:
    """Generated images (batch, …), and the latents they were made from."""

    images: Tensor
    latent: Tensor


class Game(nn.Module):
    """The standard game; images are (batch, channels, height, width) in [-1, 1], labels (batch,).

    `generator` and `discriminator` hold all that each player learns. A variant with rules of its own
    overrides methods here; it never touches the engine.
    """

    def __init__(
        self,
        rules: Rules,
        network: Network,
        objective: Objective,
        regularizer: Regularizer,
        image_shape: ImageShape,
        classes: int,
    ) -> None:
        super().__init__()
        self.generator = rules.generator(network, image_shape, classes)
        self.discriminator = rules.discriminator(network, image_shape, classes)
        self.judges_one_by_one = network.judges_one_by_one
        self.rules = rules
        self.objective = objective
        self.regularizer = regularizer
        self.set_up(image_shape)
        self.round_index = 0  # of the discriminator
        self.noise = 0.0  # standard deviation of instance noise now
        self._last_fakes: Fakes | None = None

    def get_extra_state(self) -> Tensor:
        """What of the game's state is no buffer, for `state_dict`."""
        return torch.tensor(self.round_index)

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse."""
        self.round_index = int(state)

    def begin(self, progress: float) -> None:
        """Called before every step with the share of training done, in [0, 1): growth, decays."""
        self.noise = self.rules.instance_noise * max(0.0, 1 - progress / self.rules.instance_noise_until)

    # what a game with rules of its own may change

    def set_up(self, image_shape: ImageShape) -> None:
        """Called once, when the players are there: for buffers of a game's own."""

    def prepare(self, real: Tensor) -> Tensor:
        """Real images as the discriminator sees them."""
        return real

    def generate(self, labels: Tensor) -> Fakes:
        """As many new fakes as there are labels."""
        latent = self.generator.latent(labels)
        return Fakes(self.generator(latent, labels), latent)

    def logits(self, outputs: Tensor) -> Tensor:
        """The logits among a discriminator's outputs (batch, outputs, …): the first, kept as (batch, 1, …)."""
        return outputs[:, :1]

    def discriminator_extras(
        self, real_outputs: Tensor, fake_outputs: Tensor, fakes: Fakes, labels: Tensor
    ) -> dict[str, Tensor]:
        """Named scalars that count in the discriminator's loss beside the objective."""
        return {}

    def generator_extras(self, fake_outputs: Tensor, fakes: Fakes, labels: Tensor) -> dict[str, Tensor]:
        """Named scalars that count in the generator's loss beside the objective."""
        return {}

    def after_discriminator_step(self) -> None:
        """Called after every step of the discriminator."""
        self.regularizer.after_discriminator_step(self.discriminator)

    def sample(self, generator: Generator, labels: Tensor, training_images: Tensor, *, seed: int) -> Tensor:
        """Samples of a generator of this game (the average, say) on the way: images in [-1, 1], one a label.

        A game whose generators start from images finds some among the training images, uint8.
        """
        return generator.sample(labels, seed=seed)

    # the two losses

    def discriminator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """The discriminator's loss on one batch and as many fakes; no gradient reaches the generator."""
        reused = self.rules.generator_fakes == "reused"
        with torch.set_grad_enabled(reused):
            fakes = self.generate(labels)
        self._last_fakes = fakes if reused else None
        judge = partial(self.judge, labels=labels)
        losses, real_outputs, fake_outputs = self.play_discriminator(judge, self.prepare(real), fakes.images)
        self.round_index += 1
        extras = self.discriminator_extras(real_outputs, fake_outputs, fakes, labels)
        return Losses(sum(extras.values(), losses.loss), losses.scalars | extras)

    def play_discriminator(
        self, judge: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor
    ) -> tuple[Losses, Tensor, Tensor]:
        """Objective and penalty of one discriminator, and its outputs on real and fake images."""
        is_due = self.regularizer.is_due(self.round_index)
        real = real.detach().requires_grad_(is_due and self.regularizer.real_gradient)
        fake = fake.detach().float().requires_grad_(is_due and self.regularizer.fake_gradient)
        if self.judges_one_by_one and not (real.requires_grad or fake.requires_grad):
            real_outputs, fake_outputs = judge(torch.cat([real, fake])).split([len(real), len(fake)])
        else:  # a gradient in one of them is cheaper where the other is not in the way
            real_outputs, fake_outputs = judge(real), judge(fake)
        real_logits, fake_logits = self.logits(real_outputs), self.logits(fake_outputs)
        loss = self.objective.discriminator_loss(real_logits, fake_logits)
        penalty = loss.new_zeros(())
        if is_due:
            judgement = Judgement(lambda images: self.logits(judge(images)), real, fake, real_logits, fake_logits)
            penalty = self.regularizer.penalty(judgement)
        scalars = {
            "discriminator_loss": loss,
            "penalty": penalty,
            "real_logits": real_logits.mean(),
            "fake_logits": fake_logits.mean(),
        }
        return Losses(loss + penalty, scalars), real_outputs, fake_outputs

    def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """The generator's loss on as many fakes as the batch has images: new ones, or the discriminator's last.

        In each of the two losses a parametrised weight (a spectral norm, say) is computed once, where it is first met:
        a generator met first without gradients would have none later in the same loss.
        """
        fakes = self._last_fakes or self.generate(labels)
        self._last_fakes = None
        fake_outputs = self.judge(fakes.images, labels)
        real_logits = None
        if self.objective.relativistic:
            real_logits = self.logits(self.judge(self.prepare(real), labels))
        loss = self.objective.generator_loss(real_logits, self.logits(fake_outputs))
        extras = self.generator_extras(fake_outputs, fakes, labels)
        return Losses(sum(extras.values(), loss), {"generator_loss": loss} | extras)

    def judge(self, images: Tensor, labels: Tensor) -> Tensor:
        """The discriminator's outputs on images with instance noise; both in float32 under autocast too.

        Of several batches of images in a row the labels are the same.
        """
        labels = torch.cat([labels] * (len(images) // len(labels)))
        return self.discriminator(self.add_noise(images.float()), labels).float()

    def add_noise(self, images: Tensor) -> Tensor:
        """Images with this moment's instance noise (Sønderby et al., 2017, section 2)."""
        return images + self.noise * torch.randn_like(images) if self.rules.instance_noise else images

    def receptive_field(self, image_shape: ImageShape) -> tuple[int, int]:
        """Height and width, in pixels, of what the logit in the middle sees of an image: where its gradient is."""
        parameter = next(self.discriminator.parameters())
        was_training = self.discriminator.training
        self.discriminator.eval()
        images = torch.randn(8, *image_shape, device=parameter.device).requires_grad_()
        labels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        logits = self.logits(self.discriminator(self.prepare(images), labels))
        for size in logits.shape[:0:-1]:
            logits = logits.select(-1, size // 2)
        (gradient,) = torch.autograd.grad(logits.sum(), images)
        self.discriminator.train(was_training)
        rows, columns = (gradient.abs().sum(dims) > 0 for dims in ((0, 1, 3), (0, 1, 2)))
        return int(rows.sum()), int(columns.sum())


class Rules(Part):
    """Options of a game, those that every game has here, and how to build it from the other parts."""

    network_kind: ClassVar[str] = "plain"
    players: ClassVar[type[Game]] = Game
    generator_fakes: Literal["fresh", "reused"]  # for the generator's step: new, or the discriminator's last
    instance_noise: NonNegative  # standard deviation at the start, added to all that the discriminator sees
    instance_noise_until: Rate  # share of training after which none is left

    def check(self, network: Network, objective: Objective, regularizer: Regularizer) -> None:
        """Raise ValueError, in one line, where these parts cannot play together."""
        if network.kind != self.network_kind:
            raise ValueError(
                f"network {network.name} ({network.kind}) does not fit game {self.name}, which plays "
                f"{self.network_kind} networks"
            )
        if regularizer.objectives and objective.name not in regularizer.objectives:
            raise ValueError(
                f"regularizer {regularizer.name} does not fit objective {objective.name}; "
                f"expected one of: {', '.join(regularizer.objectives)}"
            )
        self.check_labels(network)

    def check_labels(self, network: Network) -> None:
        """Raise ValueError where labels reach one player and nothing teaches the other: in the standard game."""
        if network.generator_sees_labels != network.discriminator_sees_labels:
            raise ValueError(
                f"game {self.name} teaches labels through a discriminator that sees them: network {network.name} "
                "must show labels to both players or to none"
            )

    def training_images(self, images: Tensor) -> Tensor:
        """The uint8 images (count, channels, height, width) to train on, made from the data's."""
        return images

    def generator(self, network: Network, image_shape: ImageShape, classes: int) -> Generator:
        """The game's generator, as training and sampling build it."""
        return network.generator(image_shape, classes)

    def discriminator(self, network: Network, image_shape: ImageShape, classes: int) -> nn.Module:
        """The game's discriminator."""
        return network.discriminator(image_shape, classes)

    def build(
        self, network: Network, objective: Objective, regularizer: Regularizer, image_shape: ImageShape, classes: int
    ) -> Game:
        """A new game, its players freshly initialised from torch's random numbers."""
        return self.players(self, network, objective, regularizer, image_shape, classes)
