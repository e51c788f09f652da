"""Both networks grow while they learn, each new resolution fading in (Karras et al., 2018, section 2)."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate
from typing_extensions import override

from stages.config.types import Rate
from stages.contracts.gan import GAN, Fakes, GANOptions, Losses


class ProgressiveGAN(GAN):
    """The discriminator judges images at the resolution that both networks have grown to."""

    options: ProgressiveOptions
    generator: Any  # a growing one, as the options check
    discriminator: Any

    @override
    def on_step_start(self, progress: float) -> None:
        """Set the stage of growth of both networks by the schedule."""
        stage = growth(progress, self.options.grown_at, len(self.generator.to_images) - 1)
        self.generator.grow_to(stage)
        self.discriminator.grow_to(stage)

    @override
    def step_kind(self, steps: int) -> Hashable:
        """Each resolution has kinds of its own; while it fades in, every step has another share."""
        kind = super().step_kind(steps)
        index, alpha = self.generator.stage()
        return None if kind is None or alpha < 1 else (kind, index)

    @override
    def transform_real(self, real: Tensor) -> Tensor:
        """Real images at the resolution grown to, as blurred as the fade-in leaves fakes."""
        index, alpha = self.generator.stage()
        steps = len(self.generator.to_images) - 1 - index
        real = avg_pool2d(real, 2**steps, ceil_mode=True) if steps else real
        if alpha < 1:
            blurred = interpolate(avg_pool2d(real, 2, ceil_mode=True), real.shape[2:])
            real = torch.lerp(blurred, real, alpha)
        return real

    @override
    def generate(self, labels: Tensor) -> Fakes:
        """Fakes at the resolution grown to."""
        latent = self.generator.latent(labels)
        return Fakes(self.generator.grown(latent), latent)

    @override
    def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        """As in the standard GAN; the fade-in's share and the image height are plotted."""
        losses = super().generator_loss(real, labels)
        index, alpha = self.generator.stage()
        height, _ = self.generator.sizes[index]
        stage = {"alpha": alpha, "resolution": height}
        scalars = {name: losses.loss.new_full((), value) for name, value in stage.items()}
        return Losses(losses.loss, losses.scalars | scalars)


class ProgressiveOptions(GANOptions):
    """When growth is over; the resolutions are the network's."""

    network_kind: ClassVar[str] = "growing"
    module: ClassVar[type[GAN]] = ProgressiveGAN
    grown_at: Rate  # share of training after which both networks work at the data's size alone


def growth(progress: float, grown_at: float, last: int) -> float:
    """Stage of growth, 0 to `last`, after a share of training, `progress` in [0, 1).

    Each resolution rests, then the next one fades in, for equally long. A whole number is a resolution, a fraction the
    share of the next one (Karras et al., 2018, section 2 and figure 2). At `grown_at` growth is over.
    """
    stage = progress / grown_at * last  # each whole step is one rest and one fade
    if stage >= last:
        return float(last)
    return math.floor(stage) + max(0.0, 2 * (stage % 1) - 1)
