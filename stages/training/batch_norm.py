"""Batch norm over the batch of all processes (Ioffe and Szegedy, 2015, algorithm 1). torch's own needs a GPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from stages.config.errors import StageError
from stages.training import processes


class _Normalise(torch.autograd.Function):
    """`normalise` with torch's kernels, which are faster; differentiable as often as needed."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        exact = hidden.to(weight.dtype)  # under autocast hidden is bfloat16
        mean, variance = combine(*torch.ops.aten.batch_norm_update_stats(exact, None, None, 0.0))
        ctx.save_for_backward(hidden, weight, bias, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        normalised = torch.native_batch_norm(hidden, weight, bias, mean, variance, False, 0.0, eps)[0]
        return normalised, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, mean, variance = ctx.saved_tensors
        if torch.is_grad_enabled():  # it will be differentiated again
            return _derive(ctx, normalise(hidden, weight, bias, ctx.eps), (hidden, weight, bias), gradients[0])
        # Ioffe and Szegedy (2015), section 3, with x̂ = (x - mean) r, r = 1 / √(variance + eps), E over the whole batch:
        # dx = weight r (g - E[g] - x̂ E[g x̂]). The kernel gives weight r g, and the sums of g x̂ and g over this share
        exact = hidden.to(weight.dtype)
        grad_hidden, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            *(gradients[0].to(weight.dtype), exact, weight, mean, variance, None, None),
            *(False, ctx.eps, [True, True, True]),
        )
        numbers = hidden.numel() // hidden.shape[1]
        slope, offset = processes.all_reduce_mean(torch.stack([grad_weight, grad_bias])) / numbers
        scale = torch.rsqrt(variance + ctx.eps)
        slope *= weight * scale.square()
        offset = weight * scale * offset - slope * mean
        across = (-1, *(1 for _ in hidden.shape[2:]))
        grad_hidden.sub_(offset.view(across)).addcmul_(exact, slope.view(across), value=-1)
        return grad_hidden.to(hidden.dtype), grad_weight, grad_bias, None


def _derive(ctx: Any, out: Tensor, inputs: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients of the inputs that need them, and None for the others and for eps."""
    needed = [one for one, needs in zip(inputs, ctx.needs_input_grad, strict=False) if needs]
    found = iter(torch.autograd.grad(out, needed, gradient, create_graph=True))
    return *(next(found) if needs else None for needs in ctx.needs_input_grad[: len(inputs)]), None


def combine(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (channels,) of the whole batch from those of this share; shares are equally large."""
    means, variances = processes.all_gather(torch.stack([mean, variance])[None]).unbind(dim=1)
    between, mean = torch.var_mean(means, dim=0, correction=0)
    return mean, variances.mean(dim=0) + between


def normalise(hidden: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(batch, channels, …) to the same, by the definition."""
    channels = hidden.shape[1]
    rows = hidden.movedim(1, -1).reshape(-1, channels).to(weight.dtype)
    mean, variance = combine(rows.mean(dim=0), rows.var(dim=0, unbiased=False))
    scale = weight * torch.rsqrt(variance + eps)
    normalised = torch.addcmul(bias - mean * scale, rows, scale).to(hidden.dtype)
    return normalised.view(len(hidden), *hidden.shape[2:], channels).movedim(-1, 1)


class SharedBatchNorm(_BatchNorm):
    """As the batch norm that it is made of, whose weights and buffers it has; differentiable as often as needed."""

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.load_state_dict(norm.state_dict())

    @override
    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, …) to the same."""
        if not self.training:
            return super().forward(hidden)
        normalised, mean, variance = _Normalise.apply(hidden, self.weight, self.bias, self.eps)
        self._remember(mean, variance, hidden.numel() // self.num_features * processes.world_size())
        return normalised

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, numbers: int) -> None:
        """Follow the statistics; `numbers` is how many a channel has."""
        unbiased = variance * (numbers / (numbers - 1))
        for remembered, now in ((self.running_mean, mean), (self.running_var, unbiased)):
            remembered.lerp_(now, self.momentum)
        self.num_batches_tracked.add_(1)

    @override
    def _check_input_dim(self, input: Tensor) -> None:  # torch's name for it
        """Any number of dimensions."""


def share_batch_norm(module: nn.Module) -> None:
    """Put a shared batch norm in the place of every other one below a module.

    Raises StageError for one without weights, running statistics or a momentum.
    """
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            if not (child.affine and child.track_running_stats and child.momentum is not None):
                raise StageError(
                    f"{child}: several processes share batch norms with weights, statistics and momentum only"
                )
            setattr(module, name, SharedBatchNorm(child).to(child.weight.device))
        else:
            share_batch_norm(child)
