"""Sums over the processes of one machine, through memory that all of them map.

gloo, torch's exchange between CPUs, sends each number through the kernel's network. Small batches wait for that longer
than they compute.
"""

from __future__ import annotations

import mmap
import os
import platform
import select
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from stages.config.errors import LostProcessError

SLOT_BYTES = 4 * 2**20  # of one process: longer tensors are exchanged in pieces
CACHE_LINE = 64  # bytes that processors pass on at once: counters of different processes lie that far apart
SPIN_SECONDS = 0.002  # of waiting in which a core does not sleep: waking it up takes longer than an exchange
POLL_MILLISECONDS = 1  # between two looks after that
LOST_SECONDS = 30 * 60  # after which a process that is alive counts as lost, as gloo has it
LINUX_ON_X86 = ("Linux", "x86_64")


class SharedMemory:
    """A double-buffered all-reduce: each process has two slots, and counts its exchanges.

    A process writes its numbers, then its count, and reads those of the others once their counts are as high.
    Meanwhile others may begin the next exchange: it uses the other slots.
    """

    def __init__(self, memory: mmap.mmap, rank: int, count: int, ended: select.poll) -> None:
        self.rank = rank
        self.ended = ended  # tells of a process that has
        self.exchanges = 0  # so far
        view = memoryview(memory)
        counters = [view[start : start + 8].cast("q") for start in range(0, 2 * CACHE_LINE * count, CACHE_LINE)]
        self.written, self.summed = counters[:count], counters[count:]
        slots = np.frombuffer(memory, np.uint8, offset=2 * CACHE_LINE * count)
        self.slots = torch.from_numpy(slots).view(2, count + 1, SLOT_BYTES)  # the last is for the sum
        self._views: dict[tuple[torch.dtype, int], list[list[Tensor]]] = {}  # of the slots, for so many numbers

    def all_reduce(self, tensor: Tensor) -> None:
        """The sum of a contiguous tensor over processes, in place, in the same order in each.

        Raises LostProcessError where one has ended.
        """
        flat, most = tensor.view(-1), SLOT_BYTES // tensor.element_size()
        for piece in flat.split(most) if len(flat) > most else [flat]:
            *slots, _ = self._next_slots(piece.dtype, len(piece))
            slots[self.rank].copy_(piece)
            self._tell(self.written)
            _sum(slots, piece)

    def all_reduce_parts(self, parts: Sequence[Tensor]) -> Tensor:
        """The sum over processes of several rows of numbers of one type, one after another (numbers,); raises as above.

        Each process adds up a share of them. The sum may lie in the shared memory: it is there until the next exchange
        but one.
        """
        length, dtype = sum(part.numel() for part in parts), parts[0].dtype
        if length * parts[0].element_size() > SLOT_BYTES:
            flat = torch.cat(list(parts))
            self.all_reduce(flat)
            return flat
        *slots, summed = self._next_slots(dtype, length)
        torch.cat(list(parts), out=slots[self.rank])
        self._tell(self.written)
        each = -(-length // (len(slots) * CACHE_LINE)) * CACHE_LINE  # numbers
        own = slice(self.rank * each, (self.rank + 1) * each)
        _sum([slot[own] for slot in slots], summed[own])
        self._tell(self.summed)
        return summed

    def _next_slots(self, dtype: torch.dtype, length: int) -> list[Tensor]:
        """Each process's slot (length,) in the exchange that begins, and that of their sum."""
        self.exchanges += 1
        if (dtype, length) not in self._views:
            self._views[dtype, length] = [list(slots.view(dtype)[:, :length]) for slots in self.slots]
        return self._views[dtype, length][self.exchanges % 2]

    def _tell(self, counters: Sequence[memoryview]) -> None:
        """Count this exchange, and wait until all others have counted it."""
        counters[self.rank][0] = self.exchanges
        began = time.monotonic()
        for counter in counters:
            while counter[0] < self.exchanges:
                if (waited := time.monotonic() - began) < SPIN_SECONDS:
                    os.sched_yield()
                # it may have ended after this exchange
                elif (self.ended.poll(POLL_MILLISECONDS) or waited > LOST_SECONDS) and counter[0] < self.exchanges:
                    raise LostProcessError


def _sum(slots: Sequence[Tensor], out: Tensor) -> None:
    first, second, *others = slots
    torch.add(first, second, out=out)
    for other in others:
        out.add_(other)


def meet() -> SharedMemory | None:
    """Share memory with the other processes of the group. None where some are on another machine, or cannot.

    It needs Linux, and a processor whose cores see each other's writes in their order (x86).
    """
    count, rank = dist.get_world_size(), dist.get_rank()
    if os.environ.get("LOCAL_WORLD_SIZE") != str(count) or (platform.system(), platform.machine()) != LINUX_ON_X86:
        return None
    size = 2 * (CACHE_LINE * count + SLOT_BYTES * (count + 1))
    own = _create_memory(size) if rank == 0 else None
    said: list[Any] = [None] * count
    dist.all_gather_object(said, (os.getpid(), own, os.fstat(own).st_ino if own is not None else None))
    pids, descriptors, inodes = zip(*said, strict=True)
    try:
        memory = _map(pids[0], descriptors[0], inodes[0], size)
        ended = _poll_exits([pid for pid in pids if pid != os.getpid()])
    except (OSError, AttributeError):
        memory = None
    dist.all_gather_object(said, memory is not None)
    if own is not None:
        os.close(own)
    return SharedMemory(memory, rank, count, ended) if memory and all(said) else None


def _create_memory(size: int) -> int | None:
    """A descriptor of memory that lies in no folder, and goes with its processes; None where there is none.

    Some Pythons are built without the functions of Linux that this and `_poll_exits` need.
    """
    try:
        descriptor = os.memfd_create("exchange")
        os.truncate(descriptor, size)
    except (OSError, AttributeError):
        return None
    return descriptor


def _map(pid: int, descriptor: int | None, inode: int | None, size: int) -> mmap.mmap:
    """The memory that a process has made. Raises OSError where that process cannot be seen from here."""
    opened = os.open(f"/proc/{pid}/fd/{descriptor}", os.O_RDWR)
    try:
        if os.fstat(opened).st_ino != inode:
            raise FileNotFoundError(f"process {pid} of another container")
        return mmap.mmap(opened, size)
    finally:
        os.close(opened)


def _poll_exits(pids: Sequence[int]) -> select.poll:
    """What tells when one of these processes has ended, also before somebody has asked for its exit code."""
    ended = select.poll()
    for pid in pids:
        ended.register(os.pidfd_open(pid), select.POLLIN)
    return ended
