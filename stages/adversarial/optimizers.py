"""Optimisers: torch's own arithmetic for all weights of a player in one call, the state in plain lists of tensors.

`torch.optim`'s classes do the same sums, but the first one made imports torch's compiler, which takes 2.5 s of every
training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop

from stages.settings.params import Adam as AdamOptions
from stages.settings.params import RMSprop as RMSpropOptions

EPSILON = 1e-8  # added to the root of the squares


class Optimizer(ABC):
    """Steps weights down their gradients; a weight without a gradient stays, and so does its state."""

    def __init__(self, weights: Iterable[nn.Parameter], learning_rate: float) -> None:
        self.weights = list(weights)
        self.learning_rate = learning_rate
        self.squares = self.zeros()  # running means of squared gradients
        self.steps = [torch.zeros((), device=weight.device) for weight in self.weights]

    def zeros(self) -> list[Tensor]:
        """One zero tensor a weight, laid out as the weight is."""
        return [torch.zeros_like(weight) for weight in self.weights]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step with the gradients there are."""
        graded = [index for index, weight in enumerate(self.weights) if weight.grad is not None]
        if graded:
            self.update(graded, [weight.grad for weight in self.weights if weight.grad is not None])

    def moments(self) -> dict[str, list[Tensor]]:
        """All that it remembers of earlier gradients: lists of one tensor a weight."""
        return {"squares": self.squares, "steps": self.steps}

    def state_dict(self) -> dict[str, Tensor]:
        """What it remembers, by name and weight."""
        return {f"{name}.{index}": tensor for name, kept in self.moments().items() for index, tensor in enumerate(kept)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Remember that, in the tensors there are."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])

    @abstractmethod
    def update(self, graded: list[int], gradients: list[Tensor]) -> None:
        """Change the weights of these indices, of which gradients are given, and their state, in place."""


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, algorithm 1)."""

    def __init__(self, weights: Iterable[nn.Parameter], options: AdamOptions) -> None:
        super().__init__(weights, options.learning_rate)
        self.betas = options.betas
        self.means = self.zeros()  # running means of gradients

    def moments(self) -> dict[str, list[Tensor]]:
        """See the contract."""
        return super().moments() | {"means": self.means}

    def update(self, graded: list[int], gradients: list[Tensor]) -> None:
        """See the contract."""
        state = (self.weights, self.means, self.squares, self.steps)
        weights, means, squares, steps = ([tensors[index] for index in graded] for tensors in state)
        beta1, beta2 = self.betas
        adam(
            weights,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            maximize=False,
            lr=self.learning_rate,
            beta1=beta1,
            beta2=beta2,
            eps=EPSILON,
            weight_decay=0,
        )


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012)."""

    def __init__(self, weights: Iterable[nn.Parameter], options: RMSpropOptions) -> None:
        super().__init__(weights, options.learning_rate)
        self.smoothing = options.smoothing

    def update(self, graded: list[int], gradients: list[Tensor]) -> None:
        """See the contract."""
        state = (self.weights, self.squares, self.steps)
        weights, squares, steps = ([tensors[index] for index in graded] for tensors in state)
        rmsprop(
            weights,
            gradients,
            squares,
            [],
            [],
            steps,
            foreach=True,
            centered=False,
            lr=self.learning_rate,
            alpha=self.smoothing,
            eps=EPSILON,
            weight_decay=0,
            momentum=0,
        )


def build_optimizer(options: AdamOptions | RMSpropOptions, player: nn.Module) -> Optimizer:
    """The optimiser of all weights of a player."""
    match options:
        case AdamOptions():
            return Adam(player.parameters(), options)
        case RMSpropOptions():
            return RMSprop(player.parameters(), options)
