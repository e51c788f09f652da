"""Batch norm over the batch of all processes (Ioffe and Szegedy, 2015, algorithm 1). torch's own needs a GPU."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from stages.training import processes


class SharedBatchNorm(_BatchNorm):
    """As the batch norm that it is made of, whose weights and buffers it has; differentiable twice."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.load_state_dict(norm.state_dict())

    @override
    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, …) to the same."""
        if not self.training:
            return super().forward(hidden)
        channels = hidden.shape[1]
        rows = hidden.movedim(1, -1).reshape(-1, channels).to(self.weight.dtype)  # no copy in channels last
        # means as a product: on a CPU torch's own reductions take several times as long
        averaging = rows.new_full((1, len(rows)), 1 / len(rows))
        with torch.autocast(hidden.device.type, enabled=False):
            mean = (averaging @ rows)[0]
            variance = (averaging @ (rows - mean).square())[0]
        means, variances = processes.whole(torch.stack([mean, variance])[None]).unbind(dim=1)
        mean = means.mean(dim=0)  # shares are equally large
        variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        self._remember(mean.detach(), variance.detach(), len(rows) * processes.count())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normalised = torch.addcmul(self.bias - mean * scale, rows, scale).to(hidden.dtype)
        return normalised.view(len(hidden), *hidden.shape[2:], channels).movedim(-1, 1)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, numbers: int) -> None:
        """Follow the statistics; `numbers` is how many a channel has."""
        unbiased = variance * (numbers / (numbers - 1))
        for remembered, now in ((self.running_mean, mean), (self.running_var, unbiased)):
            if remembered is not None:
                remembered.lerp_(now, self.momentum or 0.0)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)

    @override
    def _check_input_dim(self, input: Tensor) -> None:  # torch's name for it
        """Any number of dimensions."""


def share_batch_norm(module: nn.Module) -> None:
    """Put a shared batch norm in the place of every other one below a module."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, SharedBatchNorm(child).to(child.weight.device))
        else:
            share_batch_norm(child)
