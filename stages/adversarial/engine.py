"""The alternating loop (Goodfellow et al., 2014, algorithm 1). It knows no variant, no MLflow, no DVC."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from stages.adversarial.batches import Batches
from stages.adversarial.game import Game, Losses
from stages.adversarial.optimizers import Optimizer, build_optimizer
from stages.settings.params import Variant
from stages.support.weights import prefixed, unprefixed


class Engine:
    """Plays a game: `critic_steps` discriminator steps, then one generator step, again and again."""

    def __init__(self, game: Game, batches: Batches, variant: Variant) -> None:
        self.device = batches.device
        self.game = game.to(self.device).to(memory_format=getattr(torch, variant.memory_format)).train()
        self.average = copy.deepcopy(game.generator).requires_grad_(False)  # what is sampled and scored
        self.batches = batches
        self.critic_steps = variant.critic_steps
        self.ema_halflife_images = variant.ema_halflife_images
        self.ema_rampup = variant.ema_rampup
        self.autocast_to_bfloat16 = variant.precision == "bfloat16"
        self.generator_optimizer = build_optimizer(variant.generator_optimizer, game.generator)
        self.discriminator_optimizer = build_optimizer(variant.discriminator_optimizer, game.discriminator)
        self.decay_from = variant.learning_rate_decay_from
        self.learning_rates = (variant.generator_optimizer.learning_rate, variant.discriminator_optimizer.learning_rate)
        latest, average = game.generator.state_dict(), self.average.state_dict()  # these change in place: found once
        smooth = {name for name, _ in game.generator.named_parameters()}
        smooth |= {name for name in latest if name.endswith(("running_mean", "running_var"))}
        self._averaged = [average[name] for name in latest if name in smooth]
        self._latest = [latest[name] for name in latest if name in smooth]
        self._copied = [(average[name], latest[name]) for name in latest if name not in smooth]
        self.seen = 0  # images the generator's steps were taken for
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def play(self, images: int) -> Iterator[int]:
        """Take the steps that are left of those that show the generator's side `images` images; yield the count."""
        steps = math.ceil(images / self.batches.batch_size)
        for step in range(self.seen // self.batches.batch_size, steps):
            self.game.begin(step / steps)
            self._set_learning_rates(step / steps)
            self.step()
            yield self.seen

    def step(self) -> None:
        """One round of the game."""
        self._let_discriminator_learn(True)
        for _ in range(self.critic_steps):
            real, labels = self.batches.next()
            # a spectral norm takes its power iteration once a loss, for all images that the loss looks at
            with self._autocast(), parametrize.cached():
                losses = self.game.discriminator_loss(real, labels)
            self._descend(self.discriminator_optimizer, losses)
            self.game.after_discriminator_step()

        self._let_discriminator_learn(False)  # saves the gradients nobody steps on
        with self._autocast(), parametrize.cached():
            losses = self.game.generator_loss(real, labels)
        self._descend(self.generator_optimizer, losses)
        gradients = [weight.grad for weight in self.generator_optimizer.weights if weight.grad is not None]
        self._add({"generator_gradient": torch.stack(torch._foreach_norm(gradients)).norm()})
        self.seen += self.batches.batch_size
        self._update_average()

    def _set_learning_rates(self, progress: float) -> None:
        left = 1.0 if progress <= self.decay_from else (1 - progress) / (1 - self.decay_from)
        for optimizer, rate in zip(
            (self.generator_optimizer, self.discriminator_optimizer), self.learning_rates, strict=True
        ):
            optimizer.learning_rate = rate * left

    def read_scalars(self) -> dict[str, float]:
        """Means of every plotted scalar since the last reading; here, this and `find_broken` alone wait for a step."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        return means

    def find_broken(self) -> list[str]:
        """What is NaN or infinite: scalars since the last reading, by name, and players with such a weight."""
        sums = {name: total for name, total in self._sums.items() if not math.isfinite(total)}
        players = {player: list(getattr(self.game, player).parameters()) for player in ("discriminator", "generator")}
        norms = {player: torch.stack(torch._foreach_norm(weights, math.inf)) for player, weights in players.items()}
        return [*sums, *(f"{player}'s weights" for player, norm in norms.items() if not norm.isfinite().all())]

    def state_dict(self) -> dict[str, Tensor]:
        """All that the rest of the game depends on between two steps, by dotted names.

        The tensors are the engine's own, and change with the next step.
        """
        state = prefixed("sums", self._sums)
        state |= prefixed("counts", {name: torch.tensor(count) for name, count in self._counts.items()})
        for part, stateful in self._stateful().items():
            state |= prefixed(part, stateful.state_dict())
        state |= {"seen": torch.tensor(self.seen), "random.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Resume from such a state: every later step gives the bits that it would have given there."""
        for part, stateful in self._stateful().items():
            stateful.load_state_dict(unprefixed(part, state))
        self._sums = {name: total.to(self.device) for name, total in unprefixed("sums", state).items()}
        self._counts = {name: int(count) for name, count in unprefixed("counts", state).items()}
        self.seen = int(state["seen"])
        torch.set_rng_state(state["random.cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random.cuda"], self.device)

    def _stateful(self) -> dict[str, Any]:
        return {
            "game": self.game,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "batches": self.batches,
        }

    def _let_discriminator_learn(self, learns: bool) -> None:
        for weight in self.discriminator_optimizer.weights:  # found once: a walk over the modules takes longer
            weight.requires_grad_(learns)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.autocast_to_bfloat16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _descend(self, optimizer: Optimizer, losses: Losses) -> None:
        optimizer.zero_grad()
        losses.loss.backward()
        optimizer.step()
        self._add(losses.scalars)

    def _add(self, scalars: Mapping[str, Tensor]) -> None:
        for name, value in scalars.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
            self._counts[name] = self._counts.get(name, 0) + 1

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average (Yazici et al., 2019) of weights and batch statistics; other buffers are copied.

        Early on the half-life is a share of the images seen, so that the first weights are soon forgotten
        (Karras et al., 2020, appendix B).
        """
        halflife = float(self.ema_halflife_images)
        if self.ema_rampup is not None:
            halflife = min(halflife, self.seen * self.ema_rampup)
        decay = 0.5 ** (self.batches.batch_size / halflife)
        torch._foreach_lerp_(self._averaged, self._latest, 1 - decay)
        for copied, buffer in self._copied:
            copied.copy_(buffer)
