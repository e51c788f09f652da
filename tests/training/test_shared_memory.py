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
from tests.training.exchange import DTYPES, EXCHANGES, LENGTHS, ROWS, numbers

COUNT = 3


def start(folder: Path, *arguments: str, case: str = "one machine") -> list[subprocess.Popen[str]]:
    """The processes, as torchrun starts them, but none that ends the others."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(COUNT)}
    shared["LOCAL_WORLD_SIZE"] = "1" if case == "several machines" else str(COUNT)
    own: list[dict[str, str]] = [{"RANK": str(rank)} for rank in range(COUNT)]
    own[1] |= {"WATCHES_NOBODY": ""} if case == "one cannot" else {}
    command = [sys.executable, "-m", "tests.training.exchange", str(folder), *arguments]
    return [
        subprocess.Popen(
            command, cwd=ROOT, env=clean_environment() | shared | variables, stderr=subprocess.PIPE, text=True
        )
        for variables in own
    ]


def end(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """How each one ends, and what it says of errors."""
    try:
        said = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, errors) for process, errors in zip(processes, said, strict=True)]


@pytest.fixture(scope="module", params=["one machine", "several machines", "one cannot"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process says, in shared memory and, where it is not to be had, through gloo."""
    folder = tmp_path_factory.mktemp("exchange")
    for code, errors in end(start(folder, case=request.param)):
        assert code == 0, errors
    results = [torch.load(folder / f"{rank}.pt") for rank in range(COUNT)]
    assert [result["in memory"] for result in results] == [request.param == "one machine"] * COUNT
    return results


def test_they_add_up_numbers_of_any_kind_and_count(found: list[dict[str, Any]]) -> None:
    for length in LENGTHS:
        for dtype in DTYPES:
            expected = sum(numbers(rank, length, dtype) for rank in range(COUNT))
            for result in found:
                assert torch.equal(result["kinds"][length, dtype], expected), (length, dtype)  # type: ignore[arg-type]


def test_they_add_up_rows_one_after_another(found: list[dict[str, Any]]) -> None:
    for place, lengths in enumerate(ROWS):
        expected = [sum(numbers(rank, length, torch.float32) for rank in range(COUNT)) for length in lengths]
        for result in found:
            assert torch.equal(result["rows"][place], torch.cat(expected))  # type: ignore[arg-type]


def test_gradients_are_added_up_however_they_lie_in_memory(found: list[dict[str, Any]]) -> None:
    image, matrix = torch.arange(24.0).view(2, 3, 2, 2), torch.arange(6.0).view(2, 3)
    factor = 1 + 2 + 3
    for summed in (result["together"] for result in found):
        assert torch.allclose(summed["rows"], image * factor)
        assert torch.allclose(summed["channels last"], image * factor)
        assert summed["channels last"].is_contiguous(memory_format=torch.channels_last)  # as the weight
        assert torch.allclose(summed["transposed"], matrix.T * factor)
        assert summed["transposed"].stride() == (1, 3)
        assert torch.allclose(summed["gaps"], torch.arange(20.0).view(2, 10)[:, ::2] * factor)
        assert summed["loss"] == 1.0


def test_no_exchange_is_mixed_with_the_next(found: list[dict[str, Any]]) -> None:
    for result in found:
        assert result["sums"] == [[[float(number * (1 + 2 + 3))]] * 3 for number in range(EXCHANGES)]


def test_each_has_the_same_bits(found: list[dict[str, Any]]) -> None:
    for result in found:
        assert torch.equal(result["drawn"], found[0]["drawn"])
        assert 1.6 < result["drawn"].std() < 1.9  # the root of three


def test_they_add_up_tensors_of_any_shape(found: list[dict[str, Any]]) -> None:
    for result in found:
        assert torch.equal(result["transposed"], torch.ones(2, 3))
        assert result["scalar"] == 3


def test_a_process_of_another_clone_says_what_differs(found: list[dict[str, Any]]) -> None:
    expected = "not as in process 0; expected the same commit, params.yaml and data on all machines"
    assert [result["refused"] for result in found] == [
        "",
        f"process 1 of 3: data: {expected}",
        f"process 2 of 3: data, parameters: {expected}",
    ]


def test_a_process_that_has_ended_ends_the_others(tmp_path: Path) -> None:
    # the last one is a zombie meanwhile: nobody asks for its exit code before the others have ended
    assert end(start(tmp_path, "20")) == [(LostProcessError.exit_code, "")] * (COUNT - 1) + [(3, "")]
    assert not list(tmp_path.iterdir())


def test_memory_of_another_process_is_not_taken_for_that_of_this_number() -> None:
    descriptor = os.memfd_create("another")
    os.truncate(descriptor, 100)
    inode = os.fstat(descriptor).st_ino
    shared_memory._map(os.getpid(), descriptor, inode, 100)[3] = 7
    assert os.pread(descriptor, 5, 0) == bytes([0, 0, 0, 7, 0])
    with pytest.raises(OSError, match="another container"):
        shared_memory._map(os.getpid(), descriptor, inode + 1, 100)
    os.close(descriptor)
    with pytest.raises(OSError, match=f"fd/{descriptor}"):
        shared_memory._map(os.getpid(), descriptor, inode, 100)
