"""Three processes add up in the memory of one machine: right sums, the same bits, and no waiting for the lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.config.errors import LostProcessError
from stages.training import shared_memory
from tests.conftest import ROOT, clean_environment
from tests.tools.faults import free_port
from tests.training.exchange import DTYPES, EXCHANGES, LENGTHS, numbers

COUNT = 3


def start(folder: Path, *arguments: str, on_one_machine: bool = True) -> list[subprocess.Popen[str]]:
    """The processes, as torchrun starts them, but none that ends the others."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(COUNT)}
    shared["LOCAL_WORLD_SIZE"] = str(COUNT if on_one_machine else 1)
    command = [sys.executable, "-m", "tests.training.exchange", str(folder), *arguments]
    return [
        subprocess.Popen(
            command, cwd=ROOT, env=clean_environment() | shared | {"RANK": str(rank)}, stderr=subprocess.PIPE, text=True
        )
        for rank in range(COUNT)
    ]


@pytest.fixture(scope="module", params=[True, False], ids=["one machine", "several"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process says, in shared memory and, as on several machines, through gloo."""
    folder = tmp_path_factory.mktemp("exchange")
    for process in start(folder, on_one_machine=request.param):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    results = [torch.load(folder / f"{rank}.pt") for rank in range(COUNT)]
    assert [result["in memory"] for result in results] == [request.param] * COUNT
    return results


def test_they_add_up_numbers_of_any_kind_and_count(found: list[dict[str, Any]]) -> None:
    for length in LENGTHS:
        for dtype in DTYPES:
            expected = sum(numbers(rank, length, dtype) for rank in range(COUNT))
            for result in found:
                assert torch.equal(result["kinds"][length, dtype], expected), (length, dtype)  # type: ignore[arg-type]


def test_no_exchange_is_mixed_with_the_next(found: list[dict[str, Any]]) -> None:
    for result in found:
        assert result["sums"] == [float(number * (1 + 2 + 3)) for number in range(EXCHANGES)]


def test_a_process_that_has_ended_ends_the_others(tmp_path: Path) -> None:
    *others, last = start(tmp_path, "20")
    assert last.wait(120) == 3
    for process in others:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == LostProcessError.exit_code, errors
        assert not errors
    assert not list(tmp_path.iterdir())


def test_memory_of_another_process_is_not_taken_for_that_of_this_number() -> None:
    descriptor = os.memfd_create("another")
    os.truncate(descriptor, 100)
    inode = os.fstat(descriptor).st_ino
    mapped = shared_memory._map(os.getpid(), descriptor, inode, 100)
    assert mapped is not None
    mapped[3] = 7
    assert os.pread(descriptor, 5, 0) == bytes([0, 0, 0, 7, 0])
    assert shared_memory._map(os.getpid(), descriptor, inode + 1, 100) is None
    os.close(descriptor)
    assert shared_memory._map(os.getpid(), descriptor, inode, 100) is None
