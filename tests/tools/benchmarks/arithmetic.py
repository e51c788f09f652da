"""The arithmetic of a step, and how fast this machine is at it."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

GEMM_SIZE = 1024


class MatrixOperations(TorchDispatchMode):
    """Counts the floating point operations of matrix products and convolutions, backward ones included.

    torch's own FlopCounterMode counts by the same formulas, but fails on a gradient of a gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and add what it costs."""
        result = function(*args, **(kwargs or {}))
        if formula := flop_registry.get(function._overloadpacket):
            self.count += formula(*args, **(kwargs or {}), out_val=result)
        return result


def gemm_rate(dtype: torch.dtype, seconds: float = 0.3) -> float:
    """Operations a second of square matrix products, the median over about that time."""
    left, right = torch.randn(2, GEMM_SIZE, GEMM_SIZE).to(dtype)
    times: list[float] = []
    for _ in range(3):
        torch.mm(left, right)
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        torch.mm(left, right)
        times.append(time.perf_counter() - start)
    return 2 * GEMM_SIZE**3 / statistics.median(times)
