"""Add up over the processes that torchrun started, and save what comes out.

    torchrun … -m tests.training.exchange <folder> [<exchanges after which the last process ends>]

They share memory, unless the environment says that one of them cannot.
"""

import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stages.config.errors import StageError
from stages.training import processes, shared_memory

LENGTHS = (1, 1000, shared_memory.SLOT_BYTES // 4, shared_memory.SLOT_BYTES // 2 + 3)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64)
ROWS = ((1, 5, 1000), (3, shared_memory.SLOT_BYTES // 4))  # the second are more than a slot holds
EXCHANGES = 300


def numbers(of: int, length: int, dtype: torch.dtype) -> torch.Tensor:
    """What the process of that rank has."""
    return (torch.arange(length) % 97 - 40 + of).to(dtype)


def together(rank: int) -> dict[str, torch.Tensor]:
    """The mean of a number, and sums of gradients that lie in memory in all ways: in rows, channels last, with gaps."""
    images, matrix, wide = (torch.arange(count) * (1.0 + rank) for count in (24, 6, 20))
    gradients = {
        "rows": images.view(2, 3, 2, 2),
        "channels last": images.view(2, 3, 2, 2).to(memory_format=torch.channels_last),
        "transposed": matrix.view(2, 3).T,
        "gaps": wide.view(2, 10)[:, ::2],
    }
    weights = {name: torch.nn.Parameter(torch.zeros_like(gradient)) for name, gradient in gradients.items()}
    for name, gradient in gradients.items():
        weights[name].grad = gradient
    unused = torch.nn.Parameter(torch.empty(3))
    scalars = processes.all_reduce_gradients([*weights.values(), unused], {"loss": torch.tensor(float(rank))})
    assert unused.grad is None
    summed = {name: weight.grad for name, weight in weights.items() if weight.grad is not None} | dict(scalars)
    return {name: tensor.clone() for name, tensor in summed.items()}


def refusal(about: dict[str, Any]) -> str:
    """What is said where a process has another clone."""
    try:
        processes.require_same(about)
    except StageError as error:
        return str(error)
    return ""


def main(folder: Path, ends_after: int | None = None) -> None:
    """Each process writes the sums of all kinds of tensors, and those of many small ones."""
    if "WATCHES_NOBODY" in os.environ:  # as where the kernel forbids it
        shared_memory._poll_exits = lambda pids: os.open("/proc/nobody", os.O_RDONLY)  # type: ignore[assignment, return-value]
    processes.join(torch.device("cpu"))
    rank = processes.rank()
    kinds = {
        (length, dtype): processes._all_reduce(numbers(rank, length, dtype)) for length in LENGTHS for dtype in DTYPES
    }
    pause, sums, add_up = random.Random(rank), [], shared_memory._sum  # noqa: S311 only pauses

    def sleepy_sum(slots: Sequence[torch.Tensor], out: torch.Tensor) -> None:
        if pause.random() < 0.05:  # the others wait for this one's share of the sum, too
            time.sleep(0.0005)
        add_up(slots, out)

    shared_memory._sum = sleepy_sum
    for number in range(EXCHANGES):
        if rank == processes.world_size() - 1 and number == ends_after:
            os._exit(3)
        if pause.random() < 0.1:  # now this one is late, now another
            time.sleep(pause.choice([0.0005, 0.002, 2 * shared_memory.SPIN_SECONDS * (number % 50 == 0)]))
        value = float(number * (rank + 1))
        summed = processes._all_reduce_parts([torch.full((length,), value) for length in (990, 9)])
        at_once = summed.clone()
        whole = processes._all_reduce(torch.full((999,), value))
        sums.append([tensor.unique().tolist() for tensor in (at_once, summed, whole)])
    torch.manual_seed(rank)
    drawn = processes._all_reduce(torch.randn(10000))
    transposed = processes.all_reduce_mean(torch.full((3, 2), float(rank)).T)
    rows = [[numbers(rank, length, torch.float32) for length in lengths] for lengths in ROWS]
    found = {"in memory": processes._memory is not None, "kinds": kinds, "sums": sums}
    found |= {"rows": [processes._all_reduce_parts(some).clone() for some in rows], "together": together(rank)}
    found |= {"refused": refusal({"code": "a", "data": rank, "parameters": {"threads": rank // 2}})}
    found |= {"drawn": drawn, "transposed": transposed, "scalar": processes._all_reduce(torch.tensor(1.0))}
    torch.save(found, folder / f"{rank}.pt")
    processes.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
