"""Unpaired translation of digits to their outlines and back (Zhu et al., 2017, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from typing_extensions import override

from stages.config.types import NonNegative, Size
from stages.contracts.gan import GAN, GANOptions, Losses, penalised_loss
from stages.contracts.generator import ImageShape
from stages.storage.pixels import to_float, to_uint8_outlines
from stages.training import processes


class Translations(NamedTuple):
    """Images (batch, …): digits made from outlines, outlines made from digits, each domain translated to itself."""

    digits: Tensor
    outlines: Tensor
    same_digits: Tensor
    same_outlines: Tensor


class CycleGAN(GAN):
    """Real images are (batch, 2 domains, channels, height, width): a digit, then the outline of another digit."""

    options: CycleGANOptions
    generator: Any  # translators, as the options check
    discriminator: Any

    @override
    def build_buffers(self, image_shape: ImageShape) -> None:
        self.digits_pool = ImagePool(self.options.pool_size, image_shape)
        self.outlines_pool = ImagePool(self.options.pool_size, image_shape)
        self.translations: Translations | None = None  # of the discriminators' step

    @override
    def step_kind(self, steps: int) -> Hashable:
        """While a pool fills, every step has another place in it."""
        is_filling = any(pool.filled < len(pool.images) for pool in (self.digits_pool, self.outlines_pool))
        return None if is_filling else super().step_kind(steps)

    @override
    def discriminator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """Both discriminators' losses, on fakes out of a pool of earlier ones too."""
        digits, outlines = real.unbind(dim=1)
        with torch.set_grad_enabled(self.reuse_fakes):
            translations = self.translate(digits, outlines, with_identity=self.reuse_fakes)
        self.translations = translations if self.reuse_fakes else None
        fake_digits = processes.of_whole_batch(self.digits_pool.exchange, translations.digits.detach())
        fake_outlines = processes.of_whole_batch(self.outlines_pool.exchange, translations.outlines.detach())
        of_digits, *_ = penalised_loss(self, self._digits_logits, digits, fake_digits)
        of_outlines, *_ = penalised_loss(self, self._outlines_logits, outlines, fake_outlines)
        self.discriminator_step += 1
        scalars = {name: (value + of_outlines.scalars[name]) / 2 for name, value in of_digits.scalars.items()}
        return Losses(of_digits.loss + of_outlines.loss, scalars)

    @override
    def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """Adversarial, cycle and identity losses of both translators."""
        digits, outlines = real.unbind(dim=1)
        made = self.translations or self.translate(digits, outlines, with_identity=True)
        self.translations = None
        adversarial = self._generator_loss(self._digits_logits, digits, made.digits)
        adversarial = adversarial + self._generator_loss(self._outlines_logits, outlines, made.outlines)
        back = self.translate(made.digits, made.outlines, with_identity=False)
        cycle = l1_loss(back.digits, digits) + l1_loss(back.outlines, outlines)
        scalars = {"generator_loss": adversarial, "cycle_loss": self.options.cycle_weight * cycle}
        if self.options.identity_weight:
            identity = l1_loss(made.same_digits, digits) + l1_loss(made.same_outlines, outlines)
            scalars["identity_loss"] = self.options.identity_weight * identity
        return Losses(sum(scalars.values(), torch.zeros((), device=real.device)), scalars)

    def translate(self, digits: Tensor, outlines: Tensor, with_identity: bool) -> Translations:
        """Each domain translated to the other, and for the identity loss to itself, in one pass per translator."""
        for_digits, for_outlines = [outlines], [digits]
        if with_identity and self.options.identity_weight:
            for_digits, for_outlines = [outlines, digits], [digits, outlines]
        made_digits = self.generator.translate(torch.cat(for_digits), "digits").split(len(outlines))
        made_outlines = self.generator.translate(torch.cat(for_outlines), "outlines").split(len(digits))
        return Translations(made_digits[0], made_outlines[0], made_digits[-1], made_outlines[-1])

    @override
    def sample(self, generator: Any, labels: Tensor, training_images: Tensor, *, seed: int) -> Tensor:
        """Digits made from the first outlines of the training images, one per label."""
        _, outlines = training_images[: len(labels)].unbind(dim=1)
        with torch.no_grad():
            return torch.cat(
                [generator.translate(to_float(batch.to(labels.device)), "digits") for batch in outlines.split(500)]
            )

    def _digits_logits(self, images: Tensor) -> Tensor:
        return self.discriminator.digits(self.perturb(images.float())).float()

    def _outlines_logits(self, images: Tensor) -> Tensor:
        return self.discriminator.outlines(self.perturb(images.float())).float()

    def _generator_loss(self, discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        real_logits = discriminate(real) if self.objective.relativistic else None
        return self.objective.generator_loss(real_logits, discriminate(fake))


class ImagePool(nn.Module):
    """Earlier fakes (section 4): half of what the discriminators see, so that they do not chase the newest."""

    images: Tensor

    def __init__(self, size: int, image_shape: ImageShape) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *image_shape))
        self.filled = 0

    def get_extra_state(self) -> Tensor:
        """How full the pool is, for `state_dict`."""
        return torch.tensor(self.filled)

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse."""
        self.filled = int(state)

    def exchange(self, fakes: Tensor) -> Tensor:
        """As many fakes (batch, …) as given: while the pool fills the same, later some of them earlier ones."""
        size = len(self.images)
        if self.filled < size:
            kept = fakes[: size - self.filled]
            self.images[self.filled : self.filled + len(kept)] = kept
            self.filled += len(kept)
            return fakes
        place = torch.randperm(size, device=fakes.device)[: len(fakes)]
        chosen = torch.rand(len(place), device=fakes.device) < 0.5
        earlier = self.images[place]
        is_chosen = chosen[:, None, None, None]
        given, fresh = fakes[: len(place)], fakes[len(place) :]
        self.images[place] = torch.where(is_chosen, given, earlier)
        return torch.cat([torch.where(is_chosen, earlier, given), fresh])


class CycleGANOptions(GANOptions):
    """How much the cycle and the identity count, and how many earlier fakes are kept."""

    network_kind: ClassVar[str] = "translating"
    module: ClassVar[type[GAN]] = CycleGAN
    cycle_weight: NonNegative  # paper: 10
    identity_weight: NonNegative  # paper: half the cycle's
    pool_size: Size  # paper: 50

    @override
    def training_images(self, images: Tensor) -> Tensor:
        """Digits of one half of the images with outlines of the other half: no image is in both domains."""
        half = len(images) // 2
        return torch.stack([images[:half], to_uint8_outlines(images[half : 2 * half])], dim=1)
