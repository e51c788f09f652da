"""The alternating loop (Goodfellow et al., 2014, algorithm 1). It knows no variant, no MLflow, no DVC."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from stages.config.params import Optimizers
from stages.contracts.gan import GAN, Losses
from stages.training import processes
from stages.training.augmentation import augment
from stages.training.batch_norm import share_batch_norm
from stages.training.batches import Batches
from stages.training.cuda_graphs import CUDAGraphs
from stages.training.ema import EMA
from stages.training.optimizers import StatefulOptimizer, build_optimizer
from stages.training.schedules import instance_noise, learning_rate_factor


@dataclass(frozen=True)
class Hyperparameters:
    """Settings of the loop itself."""

    optimizers: Optimizers
    critic_steps: int  # discriminator steps per generator step
    learning_rate_decay_from: float  # share of training; 1: rates stay
    ema_halflife_images: int
    ema_rampup: float | None  # the half-life is at most this share of the images seen
    precision: Literal["float32", "bfloat16"]
    reuse_fakes: bool  # the generator's step takes the fakes of the last discriminator step
    noise_std: float  # of instance noise at the start
    noise_until: float  # share of training after which there is none
    augment: Sequence[str]  # in this order
    cuda_graphs: bool  # on a GPU: record each kind of step as a CUDA graph, and replay it


class Trainer:
    """Trains a GAN: `critic_steps` discriminator steps, then one generator step, again and again."""

    def __init__(self, gan: GAN, batches: Batches, hyperparameters: Hyperparameters) -> None:
        self.device = batches.device
        self.hyperparameters = hyperparameters
        if processes.world_size() > 1:
            share_batch_norm(gan)
        self.gan = gan.to(self.device)
        processes.broadcast_weights(self.gan)  # NCCL exchanges tensors of GPUs only, gloo contiguous ones
        self.gan.to(memory_format=gan.memory_format).train()
        if hyperparameters.augment:
            gan.augment = partial(augment, kinds=hyperparameters.augment)
        self.ema = EMA(gan.generator, hyperparameters.ema_halflife_images, hyperparameters.ema_rampup)
        self.batches = batches
        optimizers = hyperparameters.optimizers
        self.generator_optimizer = build_optimizer(optimizers.generator, gan.generator)
        self.discriminator_optimizer = build_optimizer(optimizers.discriminator, gan.discriminator)
        self.images_seen = 0  # those that the generator's steps were taken for
        self.sums: dict[str, Tensor] = {}  # of scalars since the last reading, changed in place
        self.counts: Counter[str] = Counter()
        is_possible = self.device.type == "cuda" and processes.world_size() == 1
        self.graphs = CUDAGraphs() if hyperparameters.cuda_graphs and is_possible else None

    def train(self, images: int) -> Iterator[int]:
        """Take the steps that are left of those that show the generator `images` images; yield the count so far."""
        steps = math.ceil(images / self.batches.batch_size)
        for step in range(self.images_seen // self.batches.batch_size, steps):
            self.follow_schedules(step / steps)
            self.step()
            yield self.images_seen

    def follow_schedules(self, progress: float) -> None:
        """Set learning rates, instance noise and growth for a share of training done, in [0, 1)."""
        options, rates = self.hyperparameters, self.hyperparameters.optimizers
        factor = learning_rate_factor(progress, options.learning_rate_decay_from)
        self.generator_optimizer.set_learning_rate(rates.generator.learning_rate * factor)
        self.discriminator_optimizer.set_learning_rate(rates.discriminator.learning_rate * factor)
        self.gan.noise_std = instance_noise(progress, options.noise_std, options.noise_until)
        self.gan.on_step_start(progress)

    def step(self) -> None:
        """One step of the generator, after those of the discriminator."""
        steps, taken = self.hyperparameters.critic_steps, self.gan.discriminator_step
        batches = [tensor for _ in range(steps) for tensor in self.batches.next()]
        learn = partial(self.graphs.run, self.gan.step_kind(steps), self.learn) if self.graphs else self.learn
        self.counts += learn(batches)
        self.gan.discriminator_step = taken + steps  # a replay runs nothing on the host
        self.images_seen += self.batches.batch_size
        self.ema.update(self.images_seen, self.batches.batch_size)

    def learn(self, batches: Sequence[Tensor]) -> Counter[str]:
        """What the device does in a step, given real images and labels in turn; how often each scalar was summed."""
        counts = Counter[str]()
        self._let_discriminator_learn(True)
        for left in reversed(range(self.hyperparameters.critic_steps)):
            self.gan.reuse_fakes = self.hyperparameters.reuse_fakes and not left
            real, labels, *batches = batches
            # a spectral norm takes its power iteration once a loss, for all images that the loss looks at
            with self._autocast(), self._shared_draws(len(real)), parametrize.cached():
                losses = self.gan.discriminator_loss(real, labels)
            counts.update(self._descend(self.discriminator_optimizer, losses))
            self.gan.after_discriminator_step()

        self._let_discriminator_learn(False)  # saves the gradients nobody steps on
        with self._autocast(), self._shared_draws(len(real)), parametrize.cached():
            losses = self.gan.generator_loss(real, labels)
        counts.update(self._descend(self.generator_optimizer, losses))
        gradients = [weight.grad for weight in self.generator_optimizer.weights if weight.grad is not None]
        counts.update(self._add({"generator_gradient": torch.stack(torch._foreach_norm(gradients)).norm()}))
        return counts

    def read_scalars(self) -> dict[str, float]:
        """Means of every plotted scalar since the last reading; here, this and `find_broken` alone wait for a step."""
        if not self.counts:
            return {}
        sums = [self.sums[name] for name in self.counts]
        totals = zip(self.counts.items(), torch.stack(sums).tolist(), strict=True)
        means = {name: total / count for (name, count), total in totals}
        torch._foreach_zero_(sums)
        self.counts.clear()
        return means

    def find_broken(self) -> list[str]:
        """What is NaN or infinite: scalars since the last reading, by name, and networks with such a weight."""
        sums = [name for name, total in self.sums.items() if not math.isfinite(total)]
        networks = {name: list(getattr(self.gan, name).parameters()) for name in ("discriminator", "generator")}
        norms = {name: torch.stack(torch._foreach_norm(weights, math.inf)) for name, weights in networks.items()}
        return [*sums, *(f"{name}'s weights" for name, norm in norms.items() if not norm.isfinite().all())]

    def _let_discriminator_learn(self, learns: bool) -> None:
        for weight in self.discriminator_optimizer.weights:  # found once: a walk over the modules takes longer
            weight.requires_grad_(learns)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.hyperparameters.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _shared_draws(self, rows: int) -> AbstractContextManager[Any]:
        return processes.shared_draws(rows, self.gan.options.images_per_logit)

    def _descend(self, optimizer: StatefulOptimizer, losses: Losses) -> list[str]:
        optimizer.forget_gradients()
        processes.backward(losses.loss)
        scalars = processes.all_reduce_gradients(optimizer.weights, losses.scalars)
        optimizer.step()
        return self._add(scalars)

    def _add(self, scalars: Mapping[str, Tensor]) -> list[str]:
        values = {name: value.detach() for name, value in scalars.items()}
        self.sums |= {name: torch.zeros_like(value) for name, value in values.items() if name not in self.sums}
        torch._foreach_add_([self.sums[name] for name in values], list(values.values()))
        return list(scalars)
