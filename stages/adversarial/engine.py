"""The alternating loop (Goodfellow et al., 2014, algorithm 1). It knows no variant, no MLflow, no DVC."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stages.adversarial.game import Game, Losses
from stages.support.batches import Batches
from stages.support.params import RMSprop, Variant


class Engine:
    """Plays a game: `critic_steps` discriminator steps, then one generator step, again and again."""

    def __init__(self, game: Game, images: Tensor, labels: Tensor, variant: Variant) -> None:
        self.device = images.device
        # channels last is faster on CPU and GPU alike (README, architecture)
        self.game = game.to(self.device).to(memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(game.generator).requires_grad_(False)  # what is sampled and scored
        self.batches = Batches(images, labels, variant.batch_size)
        self.critic_steps = variant.critic_steps
        self.decay = 0.5 ** (self.batches.batch_size / variant.ema_halflife_images)
        self.autocast_to_bfloat16 = variant.precision == "bfloat16"
        self.generator_optimizer = _optimizer(variant.generator_optimizer, game.generator)
        self.discriminator_optimizer = _optimizer(variant.discriminator_optimizer, game.discriminator)
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def play(self, images: int) -> Iterator[int]:
        """Take as many steps as show the generator's side `images` images; yield the count so far."""
        steps = math.ceil(images / self.batches.batch_size)
        for step in range(steps):
            self.game.begin(step / steps)
            self.step()
            yield (step + 1) * self.batches.batch_size

    def step(self) -> None:
        """One round of the game."""
        self.game.discriminator.requires_grad_(True)
        for _ in range(self.critic_steps):
            real, labels = self.batches.next()
            with self._autocast():
                losses = self.game.discriminator_loss(real, labels)
            self._descend(self.discriminator_optimizer, losses)
            self.game.after_discriminator_step()

        self.game.discriminator.requires_grad_(False)  # saves the gradients nobody steps on
        with self._autocast():
            losses = self.game.generator_loss(real.detach(), labels)
        self._descend(self.generator_optimizer, losses)
        self._update_average()

    def read_scalars(self) -> dict[str, float]:
        """Means of every plotted scalar since the last reading; the only place that waits for the device."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        return means

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast_to_bfloat16)

    def _descend(self, optimizer: Optimizer, losses: Losses) -> None:
        optimizer.zero_grad(set_to_none=True)
        losses.loss.backward()
        optimizer.step()
        for name, value in losses.scalars.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
            self._counts[name] = self._counts.get(name, 0) + 1

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average of weights and batch statistics (Yazici et al., 2019)."""
        pairs = zip(self.average.state_dict().values(), self.game.generator.state_dict().values(), strict=True)
        smooth, current = [], []
        for averaged, latest in pairs:
            if averaged.is_floating_point():
                smooth.append(averaged)
                current.append(latest)
            else:
                averaged.copy_(latest)
        torch._foreach_lerp_(smooth, current, 1 - self.decay)


def _optimizer(options: object, player: nn.Module) -> Optimizer:
    parameters = list(player.parameters())
    if isinstance(options, RMSprop):
        return torch.optim.RMSprop(parameters, lr=options.learning_rate, alpha=options.smoothing)
    beta1, beta2 = options.betas  # type: ignore[attr-defined]
    return torch.optim.Adam(
        parameters,
        lr=options.learning_rate,  # type: ignore[attr-defined]
        betas=(float(beta1), float(beta2)),
        fused=True,
    )
