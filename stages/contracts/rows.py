"""Rows that are drawn in batches: each row has its own seed, and gives the same image in every batch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

BATCH = 32


class SeededRows(TorchFunctionMode):
    """Within it `torch.rand(rows, …)` and `torch.randn(rows, …)` draw row i as after `torch.manual_seed(seeds[i])`.

    Each call continues where the last one ended. Other random functions are not changed. Numbers are drawn on the
    CPU, so a seed gives the same ones on every device.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func not in (torch.rand, torch.randn):
            return func(*args, **options)
        rows, *shape = args
        if rows != len(self.generators):
            raise ValueError(f"random numbers for {rows} rows were asked for; there are {len(self.generators)} seeds")
        device = options.pop("device", None)
        return torch.cat([func(1, *shape, generator=one, **options) for one in self.generators]).to(device)


def in_batches(draw: Callable[[list[int]], Tensor], rows: int) -> Tensor:
    """`draw` of the numbers 0 to rows - 1, in batches that all have the same size.

    The last batch repeats its last row. Matrix products of another size round differently: an image would depend on
    how many others were asked for.
    """
    starts = range(0, rows, BATCH)
    batches = [[min(row, rows - 1) for row in range(start, start + BATCH)] for start in starts]
    return torch.cat([draw(batch) for batch in batches])[:rows]
