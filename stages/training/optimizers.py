"""torch's optimizers, without the import of its compiler, and with a state that a safetensors file can hold.

The first step of `torch.optim`'s classes imports torch's compiler, which takes 2.5 s of every training. What they
wrap for it is unwrapped here.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stages.config.params import Adam as AdamOptions
from stages.config.params import Optimizer as OptimizerOptions


def _unwrapped(method: Any) -> Any:
    return torch.no_grad()(inspect.unwrap(method))


class StatefulOptimizer(torch.optim.Optimizer):
    """An optimizer whose state is tensors by name; a weight without a gradient stays as it is, and has no state yet."""

    add_param_group = _unwrapped(torch.optim.Optimizer.add_param_group)
    _rate: float | None = None  # last written to the GPU

    @property
    def weights(self) -> list[nn.Parameter]:
        """All weights, in their order."""
        return self.param_groups[0]["params"]

    def forget_gradients(self) -> None:
        """As `zero_grad`."""
        for weight in self.weights:
            weight.grad = None

    def set_learning_rate(self, rate: float) -> None:
        """For the next steps."""
        group = self.param_groups[0]
        if not isinstance(group["lr"], Tensor):
            group["lr"] = rate
        elif rate != self._rate:
            group["lr"].fill_(rate)
            self._rate = rate

    def state_tensors(self) -> dict[str, Tensor]:
        """All that it remembers of earlier gradients, by weight and name: the tensors themselves."""
        return {
            f"{index}.{name}": value
            for index, weight in enumerate(self.weights)
            for name, value in self.state.get(weight, {}).items()
        }

    @torch.no_grad()
    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Remember that, laid out in memory as the weights are, which the fused step relies on."""
        self.state.clear()
        for key, value in tensors.items():
            index, name = key.split(".")
            weight = self.weights[int(index)]
            like = weight if value.shape == weight.shape else value.to(weight.device)
            self.state[weight][name] = torch.empty_like(like, requires_grad=False).copy_(value)


class Adam(StatefulOptimizer, torch.optim.Adam):
    """Adam (Kingma and Ba, 2015, algorithm 1), all weights in one call."""

    step = _unwrapped(torch.optim.Adam.step)


class AdamW(StatefulOptimizer, torch.optim.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2), all weights in one call."""

    step = _unwrapped(torch.optim.AdamW.step)


class RMSprop(StatefulOptimizer, torch.optim.RMSprop):
    """RMSprop (Tieleman and Hinton, 2012)."""

    step = _unwrapped(torch.optim.RMSprop.step)


def build_optimizer(options: OptimizerOptions, network: nn.Module) -> Adam | RMSprop:
    """The optimizer of all weights of a network; on a GPU its rate and its steps are there, as CUDA graphs need it."""
    device = next(network.parameters()).device
    is_cuda = device.type == "cuda"
    rate: Any = torch.tensor(options.learning_rate, device=device) if is_cuda else options.learning_rate
    if isinstance(options, AdamOptions):
        beta1, beta2 = options.betas
        return Adam(network.parameters(), lr=rate, betas=(beta1, beta2), fused=True, capturable=is_cuda)
    return RMSprop(network.parameters(), lr=rate, alpha=options.alpha, foreach=True, capturable=is_cuda)
