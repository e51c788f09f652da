"""Sums over the processes of one machine, through memory that all of them map.

torch's own exchange between processors, gloo, sends each number through the kernel's network, and small batches wait
for that longer than they compute. Libraries that do better (oneCCL, DeepSpeed) want a compiler, or are given up.
"""

from __future__ import annotations

import mmap
import os
import platform
import time
from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from stages.config.errors import LostProcessError

SIZE = 4 * 2**20  # bytes of one process's place: longer tensors go in pieces
LINE = 64  # bytes that processors pass on at once: counters of different processes lie that far apart
AWAKE = 0.05  # seconds of waiting in which a core does not sleep: waking it up takes longer than an exchange
ASLEEP = 0.001  # seconds between two looks after that
LINUX_ON_X86 = ("Linux", "x86_64")


class SharedMemory:
    """Two places and a counter of exchanges for each process.

    A process writes its numbers, then its counter, and reads those of the others once their counters are as high.
    Meanwhile others may begin the next exchange: it takes the other places.
    """

    def __init__(self, memory: mmap.mmap, rank: int, pids: Sequence[int]) -> None:
        self.rank = rank
        self.pids = pids
        self.taken = 0  # exchanges
        view = memoryview(memory)
        self.counters = [view[start : start + 8].cast("q") for start in range(0, LINE * len(pids), LINE)]
        places = np.frombuffer(memory, np.uint8, offset=LINE * len(pids))
        self.places = torch.from_numpy(places).view(2, len(pids), SIZE)
        self._typed: dict[torch.dtype, list[list[Tensor]]] = {}  # the places, for numbers of a type

    def add_up(self, tensor: Tensor) -> None:
        """The sum over processes, in place, in the same order in each. Raises LostProcessError where one has ended."""
        if tensor.dtype not in self._typed:
            self._typed[tensor.dtype] = [list(places.view(tensor.dtype)) for places in self.places]
        flat, most = tensor.view(-1), SIZE // tensor.element_size()
        for piece in flat.split(most) if len(flat) > most else [flat]:
            self.taken += 1
            first, second, *others = (place[: len(piece)] for place in self._typed[piece.dtype][self.taken % 2])
            (first, second, *others)[self.rank].copy_(piece)
            self.counters[self.rank][0] = self.taken
            self._wait()
            torch.add(first, second, out=piece)
            for other in others:
                piece.add_(other)

    def _wait(self) -> None:
        end = time.monotonic() + AWAKE
        for counter in self.counters:
            while counter[0] < self.taken:
                if time.monotonic() < end:
                    os.sched_yield()
                else:
                    self._look_for_the_lost()
                    time.sleep(ASLEEP)

    def _look_for_the_lost(self) -> None:
        for pid in self.pids:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                raise LostProcessError from None


def meet() -> SharedMemory | None:
    """Share memory with the other processes of the group. None where some are on another machine, or cannot.

    It needs Linux, and a processor whose cores see each other's writes in their order (x86).
    """
    count, rank = dist.get_world_size(), dist.get_rank()
    if os.environ.get("LOCAL_WORLD_SIZE") != str(count) or (platform.system(), platform.machine()) != LINUX_ON_X86:
        return None
    size = (LINE + 2 * SIZE) * count
    own = os.memfd_create("exchange") if rank == 0 else None  # in no folder, and gone with its processes
    if own is not None:
        os.truncate(own, size)
    said = [(os.getpid(), own, os.fstat(own).st_ino) if own is not None else None]
    dist.broadcast_object_list(said, 0)
    memory = _map(*said[0], size)  # type: ignore[call-arg, misc]
    pids: list[int | None] = [None] * count
    dist.all_gather_object(pids, os.getpid() if memory else None)
    if own is not None:
        os.close(own)
    return SharedMemory(memory, rank, pids) if memory and all(pids) else None  # type: ignore[arg-type]


def _map(pid: int, descriptor: int, inode: int, size: int) -> mmap.mmap | None:
    """The memory that a process has made; None where that process cannot be seen from here."""
    try:
        opened = os.open(f"/proc/{pid}/fd/{descriptor}", os.O_RDWR)
    except OSError:
        return None
    try:
        return mmap.mmap(opened, size) if os.fstat(opened).st_ino == inode else None
    finally:
        os.close(opened)
