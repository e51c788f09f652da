"""The device: what is asked for, or a line that says why not."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest
import torch

from stages.config.errors import ParameterError
from stages.config.params import load
from stages.training.device import prepare


def test_cpu_is_cpu_and_seeds_decide() -> None:
    params = load().model_copy(update={"device": "cpu"})
    torch.backends.cudnn.allow_tf32 = True  # as torch has it
    assert prepare(params, seed=3).type == "cpu"
    assert not torch.backends.cudnn.allow_tf32
    first = torch.rand(3)
    prepare(params, seed=3)
    assert torch.equal(torch.rand(3), first)
    assert torch.get_num_threads() == params.threads
    assert torch.are_deterministic_algorithms_enabled()


def test_cuda_without_a_card_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="device: 'cuda' is not allowed"):
        prepare(load().model_copy(update={"device": "cuda"}), seed=0)
    assert prepare(load().model_copy(update={"device": "auto"}), seed=0).type == "cpu"


FAULTS = """
import resource, sys, torch
from stages.config.params import load
from stages.training.device import prepare
if sys.argv[1:]: prepare(load().model_copy(update={"device": "cpu"}), seed=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for mebibytes in range(2, 31, 2): [torch.zeros(mebibytes * 2**18) for tensor in range(4)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


CORES = """
import json, os, sys
from pathlib import Path
from stages.config.params import load
from stages.training.device import prepare
os.sched_setaffinity(0, {int(core) for core in sys.argv[2:]})
for seed in range(2):
    prepare(load().model_copy(update={"device": "cpu", "threads": int(sys.argv[1])}), seed)
tasks = Path("/proc/self/task")
print(json.dumps([sorted(os.sched_getaffinity(int(thread.name))) for thread in tasks.iterdir()]))
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two cores"
)
@pytest.mark.parametrize(("threads", "bound_to"), [(1, ""), (2, "ab"), (3, "aab")])
def test_threads_that_take_all_cores_have_one_each(threads: int, bound_to: str) -> None:
    two = sorted(os.sched_getaffinity(0))[:2]
    command = [sys.executable, "-c", CORES, str(threads), *map(str, two)]
    of_threads = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(of_threads) >= threads
    assert sorted(cores[0] for cores in of_threads if len(cores) == 1) == [two["ab".index(core)] for core in bound_to]


@pytest.mark.parametrize("rank", [0, 2])
def test_more_processes_than_cards_are_refused_in_each(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(ParameterError, match=r"training\.processes or sample\.processes: 3 is not .* here: 2"):
        prepare(load().model_copy(update={"device": "cuda"}), seed=0)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only of glibc do we know how to tell it")
def test_freed_memory_is_kept() -> None:
    """The kernel counts a fault for each 4 KiB that it gives out anew: 245,760, or 30,720 where they are kept.

    The tensors of each round are larger than all before them. By default they get memory of their own from the kernel,
    whatever is free in the heap.
    """

    def count_faults(*asked: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, *asked], capture_output=True, check=True).stdout)

    assert count_faults("prepare") < count_faults() / 3
