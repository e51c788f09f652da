"""The contract of GANs: a generator, a discriminator, and the losses that each step takes.

A file in stages/gans/ defines one subclass of `GANOptions`: the options that params.yaml gives, how to build both
networks, and the `GAN` that they make. The trainer asks a GAN for losses, and for nothing else.

On a GPU the work of a step is recorded and replayed, without Python. So what a loss remembers is a tensor that changes
in place, and what Python decides before a step is in `step_kind`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from stages.config.components import Component
from stages.contracts.generator import Generator, ImageShape, together
from stages.contracts.network import Network
from stages.contracts.objective import Objective
from stages.contracts.regularizer import DiscriminatorOutputs, Regularizer


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


class GAN(nn.Module):
    """The standard GAN (Goodfellow et al., 2014); others override its methods.

    Images are (batch, channels, height, width) in [-1, 1], labels (batch,). `generator` and `discriminator` hold all
    that is learned. The trainer sets the next three attributes.
    """

    reuse_fakes = False  # of the discriminator's step, in the generator's
    noise_std = 0.0  # of instance noise now
    augment: Callable[[Tensor], Tensor] | None = None  # what the discriminator sees

    def __init__(
        self,
        options: GANOptions,
        network: Network,
        objective: Objective,
        regularizer: Regularizer,
        image_shape: ImageShape,
        classes: int,
    ) -> None:
        super().__init__()
        self.generator = options.generator(network, image_shape, classes)
        self.discriminator = options.discriminator(network, image_shape, classes)
        self.per_sample = network.per_sample
        self.memory_format = network.memory_format
        self.options = options
        self.objective = objective
        self.regularizer = regularizer
        self.build_buffers(image_shape)
        self.discriminator_step = 0
        self._last_fakes: Fakes | None = None

    def get_extra_state(self) -> Tensor:
        """What of the state is no buffer, for `state_dict`."""
        return torch.tensor(self.discriminator_step)

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse."""
        self.discriminator_step = int(state)

    # what a GAN may change

    def build_buffers(self, image_shape: ImageShape) -> None:
        """Called once, when both networks are there."""

    def on_step_start(self, progress: float) -> None:
        """Called before every step with the share of training done, in [0, 1), for example to grow."""

    def step_kind(self, steps: int) -> Hashable:
        """Key of the CUDA graph that can replay this step; None if none can, because the host passes in new numbers."""
        due = (self.regularizer.is_due(self.discriminator_step + step) for step in range(steps))
        return None if self.noise_std else tuple(due)

    def transform_real(self, real: Tensor) -> Tensor:
        """Real images as the discriminator sees them."""
        return real

    def generate(self, labels: Tensor) -> Fakes:
        """As many new fakes as there are labels."""
        latent = self.generator.latent(labels)
        return Fakes(self.generator(latent, labels), latent)

    def adversarial_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The discriminator's loss, without penalty and auxiliary losses."""
        return self.objective.discriminator_loss(real_logits, fake_logits)

    def discriminator_auxiliary_losses(
        self, real_outputs: Tensor, fake_outputs: Tensor, fakes: Fakes, labels: Tensor
    ) -> dict[str, Tensor]:
        """Named scalars that count in the discriminator's loss besides the objective."""
        return {}

    def generator_auxiliary_losses(self, fake_outputs: Tensor, fakes: Fakes, labels: Tensor) -> dict[str, Tensor]:
        """Named scalars that count in the generator's loss besides the objective."""
        return {}

    def after_discriminator_step(self) -> None:
        """Called after every step of the discriminator."""
        self.regularizer.after_discriminator_step(self.discriminator)

    def sample(self, generator: Generator, labels: Tensor, training_images: Tensor, *, seed: int) -> Tensor:
        """Samples in [-1, 1] in the course of training, one per label; some GANs' start from training images, uint8."""
        return generator.sample(labels, seed=seed, batch_size=together(training_images))

    # the two losses

    def discriminator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """The discriminator's loss on one batch and as many fakes; no gradient reaches the generator."""
        with torch.set_grad_enabled(self.reuse_fakes):
            fakes = self.generate(labels)
        self._last_fakes = fakes if self.reuse_fakes else None
        discriminate = partial(self.discriminate, labels=labels)
        losses, real_outputs, fake_outputs = penalised_loss(self, discriminate, self.transform_real(real), fakes.images)
        self.discriminator_step += 1
        auxiliary = self.discriminator_auxiliary_losses(real_outputs, fake_outputs, fakes, labels)
        return Losses(sum(auxiliary.values(), losses.loss), losses.scalars | auxiliary)

    def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """The generator's loss on as many fakes as the batch has images: new ones, or the discriminator's last."""
        fakes = self._last_fakes or self.generate(labels)  # before other passes: a cached spectral norm needs gradients
        self._last_fakes = None
        fake_outputs = self.discriminate(fakes.images, labels)
        real_logits = None
        if self.objective.relativistic:
            real_logits = logits_of(self.discriminate(self.transform_real(real), labels))
        loss = self.objective.generator_loss(real_logits, logits_of(fake_outputs))
        auxiliary = self.generator_auxiliary_losses(fake_outputs, fakes, labels)
        return Losses(sum(auxiliary.values(), loss), {"generator_loss": loss} | auxiliary)

    def discriminate(self, images: Tensor, labels: Tensor) -> Tensor:
        """Outputs for perturbed images, float32 under autocast too; batches of images in a row have the same labels."""
        labels = labels.repeat(len(images) // len(labels))
        return self.discriminator(self.perturb(images.float()), labels).float()

    def perturb(self, images: Tensor) -> Tensor:
        """Images with this moment's instance noise (Sønderby et al., 2017, section 2), augmented."""
        if self.noise_std:
            images = images + self.noise_std * torch.randn_like(images)
        return self.augment(images) if self.augment else images


def logits_of(outputs: Tensor) -> Tensor:
    """The logits among a discriminator's outputs (batch, outputs, …): the first, kept as (batch, 1, …)."""
    return outputs[:, :1]


def penalised_loss(
    gan: GAN, discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor
) -> tuple[Losses, Tensor, Tensor]:
    """Adversarial loss and penalty of one discriminator, and its outputs for real and fake images."""
    is_due = gan.regularizer.is_due(gan.discriminator_step)
    real = real.detach().requires_grad_(is_due and gan.regularizer.real_gradient)
    fake = fake.detach().float().requires_grad_(is_due and gan.regularizer.fake_gradient)
    if gan.per_sample and not (real.requires_grad or fake.requires_grad):
        real_outputs, fake_outputs = discriminate(torch.cat([real, fake])).chunk(2)
    else:  # a gradient in one of them is cheaper where the other is not in the way
        real_outputs, fake_outputs = discriminate(real), discriminate(fake)
    real_logits, fake_logits = logits_of(real_outputs), logits_of(fake_outputs)
    loss = gan.adversarial_loss(real_logits, fake_logits)
    penalty = loss.new_zeros(())
    if is_due:
        outputs = DiscriminatorOutputs(
            lambda images: logits_of(discriminate(images)), real, fake, real_logits, fake_logits
        )
        penalty = gan.regularizer.penalty(outputs)
    scalars = {
        "discriminator_loss": loss,
        "penalty": penalty,
        "real_logits": real_logits.mean(),
        "fake_logits": fake_logits.mean(),
    }
    return Losses(loss + penalty, scalars), real_outputs, fake_outputs


class GANOptions(Component):
    """Options of a GAN, and how to build it from the other components."""

    role: ClassVar[str] = "gan"
    network_kind: ClassVar[str] = "plain"
    module: ClassVar[type[GAN]] = GAN
    without_labels: ClassVar[str] = ""  # why networks must not see labels; empty where they may

    @property
    def images_per_logit(self) -> int:
        """How many images the discriminator sees at once."""
        return 1

    def check(self, network: Network, objective: Objective, regularizer: Regularizer) -> None:
        """Raise ValueError, in one line, where these components do not fit each other."""
        if network.kind != self.network_kind:
            raise ValueError(
                f"network {network.name} ({network.kind}) does not fit gan {self.name}, which takes "
                f"{self.network_kind} networks"
            )
        if regularizer.objectives and objective.name not in regularizer.objectives:
            raise ValueError(
                f"regularizer {regularizer.name} does not fit objective {objective.name}; "
                f"expected one of: {', '.join(regularizer.objectives)}"
            )
        self.check_labels(network)

    def check_batch_size(self, batch_size: int) -> None:
        """Raise ValueError, in one line, where a process cannot work on so many images at once."""

    def check_labels(self, network: Network) -> None:
        """Raise ValueError where labels reach one network and nothing teaches the other, or a GAN without labels."""
        if network.generator_sees_labels != network.discriminator_sees_labels:
            raise ValueError(
                f"gan {self.name} teaches labels through a discriminator that sees them: network {network.name} "
                "must show labels to both networks or to none"
            )
        if self.without_labels and network.generator_sees_labels:
            raise ValueError(f"gan {self.name} {self.without_labels}: network {network.name} must not see any labels")

    def training_images(self, images: Tensor) -> Tensor:
        """The uint8 images to train on, made from the data's (count, channels, height, width)."""
        return images

    def generator(self, network: Network, image_shape: ImageShape, classes: int) -> Generator:
        """The GAN's generator, as training and sampling build it."""
        return network.generator(image_shape, classes)

    def discriminator(self, network: Network, image_shape: ImageShape, classes: int) -> nn.Module:
        """The GAN's discriminator."""
        return network.discriminator(image_shape, classes)

    def build(
        self, network: Network, objective: Objective, regularizer: Regularizer, image_shape: ImageShape, classes: int
    ) -> GAN:
        """A new GAN, its networks freshly initialised from torch's random numbers."""
        return self.module(self, network, objective, regularizer, image_shape, classes)
