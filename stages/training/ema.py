"""The exponential moving average of the generator: what is sampled and scored (Yazici et al., 2019)."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class EMA(Generic[Module]):
    """Averages a module's weights and batch statistics, with a half-life in images; copies its other buffers."""

    def __init__(self, module: Module, halflife_images: int, rampup: float | None) -> None:
        self.module: Module = copy.deepcopy(module).requires_grad_(False)  # the average
        self.halflife_images = float(halflife_images)
        self.rampup = rampup
        latest, average = module.state_dict(), self.module.state_dict()  # these change in place: found once
        smooth = {name for name, _ in module.named_parameters()}
        smooth |= {name for name in latest if name.endswith(("running_mean", "running_var"))}
        self._averaged = [average[name] for name in latest if name in smooth]
        self._latest = [latest[name] for name in latest if name in smooth]
        self._copied = [(average[name], latest[name]) for name in latest if name not in smooth]

    @torch.no_grad()
    def update(self, images_seen: int, batch_size: int) -> None:
        """Take in the module's latest weights, after a step of `batch_size` images.

        Early on the half-life is the share `rampup` of the images seen, so that the first weights are soon forgotten
        (Karras et al., 2020, appendix B).
        """
        halflife = self.halflife_images
        if self.rampup is not None:
            halflife = min(halflife, images_seen * self.rampup)
        torch._foreach_lerp_(self._averaged, self._latest, 1 - 0.5 ** (batch_size / halflife))
        for copied, buffer in self._copied:
            copied.copy_(buffer)
