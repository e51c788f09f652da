"""The bytes of a stage depend on `threads`, and on no variable that tells libraries how many to use."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT, run
from tests.tools.faults import TRAIN, outputs, run_there, small_training

VARIABLES: dict[str, dict[str, str]] = {
    "none": {},
    "many": dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "7"),
    "dynamic": {"OMP_DYNAMIC": "true", "MKL_DYNAMIC": "true"},
    "limit": {"OMP_THREAD_LIMIT": "1"},
    "passive": {"OMP_WAIT_POLICY": "passive", "OMP_PROC_BIND": "true"},
}
LIMITING = ("dynamic", "limit")  # with several threads, oneDNN once waited for ever under these

COUNT = """
from stages.config.params import load
import json, numpy, scipy.linalg, threadpoolctl
from stages.training.device import prepare
prepare(load(), 0)
print(json.dumps({pool["internal_api"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}))
"""


def train(folder: Path, threads: int, name: str, cores: Sequence[int] = ()) -> dict[str, bytes]:
    """What a training of convolutions and matrix products writes under those variables, on these cores or all."""
    there = small_training(folder / f"{name}-{threads}", {"threads": threads, "variants.dcgan.images.smoke": 256})
    on_cores = ("taskset", "--cpu-list", ",".join(map(str, cores))) if cores else ()
    run_there(there, *on_cores, "timeout", "60", *TRAIN[:-1], "dcgan", **VARIABLES[name])
    return outputs(there)


def test_no_variable_changes_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in {variable for variables in VARIABLES.values() for variable in variables}:
        monkeypatch.delenv(variable, raising=False)
    found = {name: train(tmp_path, 1, name) for name in VARIABLES}
    assert len(found["none"]) == 10  # five of the model, a loss curve, four grids
    assert all(of_one == found["none"] for of_one in found.values())
    several = {name: train(tmp_path, 2, name) for name in ("none", *LIMITING)}
    assert all(of_one == several["none"] for of_one in several.values())
    assert several["none"] != found["none"]  # config.json names the number, at least


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_cores_changes_no_byte(tmp_path: Path, threads: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    found = []
    for count in sorted({1, len(cores)}):
        (tmp_path / str(count)).mkdir()
        found.append(train(tmp_path / str(count), threads, "none", cores[:count]))
    first, *others = found
    assert len(first) == 10
    assert all(other == first for other in others)
    assert len(others) == min(len(cores), 2) - 1


@pytest.mark.parametrize("name", VARIABLES)
def test_every_library_uses_one_thread(name: str) -> None:
    done = run("python", "-c", COUNT, cwd=ROOT, check=True, **VARIABLES[name])
    counts = json.loads(done.stdout)
    assert {"openblas", "openmp"} <= counts.keys()
    assert set(counts.values()) == {1}
