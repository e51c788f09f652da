"""The bytes of a stage depend on `threads`, and on no variable that tells libraries how many to use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT, run
from tests.tools.faults import TRAIN, outputs, run_there, small_training

VARIABLES: dict[str, dict[str, str]] = {
    "none": {},
    "many": {
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "7"),
        "OMP_WAIT_POLICY": "passive",
        "OMP_PROC_BIND": "true",
    },
    # with several threads, oneDNN once deadlocked under these
    "limiting": {"OMP_DYNAMIC": "true", "MKL_DYNAMIC": "true", "OMP_THREAD_LIMIT": "1"},
}

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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, dict[str, bytes]]]:
    """The outputs on all cores, by the number of threads; within it none of these variables is set."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in {variable for variables in VARIABLES.values() for variable in variables}:
            patch.delenv(variable, raising=False)
        folder = tmp_path_factory.mktemp("undisturbed")
        yield {threads: train(folder, threads, "none") for threads in (1, 2)}


def test_no_variable_changes_a_byte(undisturbed: dict[int, dict[str, bytes]], tmp_path: Path) -> None:
    for threads, names in ((1, ("many", "limiting")), (2, ("limiting",))):
        assert len(undisturbed[threads]) == 10  # five of the model, a loss curve, four grids
        for name in names:
            assert train(tmp_path, threads, name) == undisturbed[threads], name
    assert undisturbed[1] != undisturbed[2]  # config.json names the number, at least


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_cores_changes_no_byte(
    undisturbed: dict[int, dict[str, bytes]], tmp_path: Path, threads: int
) -> None:
    first, *_ = sorted(os.sched_getaffinity(0))
    assert train(tmp_path, threads, "none", [first]) == undisturbed[threads]


@pytest.mark.parametrize("name", VARIABLES)
def test_every_library_uses_one_thread(name: str) -> None:
    done = run("python", "-c", COUNT, cwd=ROOT, check=True, **VARIABLES[name])
    counts = json.loads(done.stdout)
    assert {"openblas", "openmp"} <= counts.keys()
    assert set(counts.values()) == {1}
