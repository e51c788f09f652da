"""The bytes of a stage depend on `threads`, and on no variable that tells libraries how many to use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from stages.storage.images import Split, write_split
from tests.conftest import ROOT, put, run
from tests.tools.rebuilds import hashes

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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small data, and params.yaml with a short training."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 28, 28), np.uint8)
    write_split("train", Split(images, np.arange(200) % 10, tuple("0123456789")))
    return tmp_path


def train(folder: Path, threads: int, variables: dict[str, str]) -> dict[str, str]:
    """Hashes of what a training of convolutions and matrix products writes."""
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    changes = {"budget": "smoke", "device": "cpu", "threads": threads, "tracking.enabled": False}
    changes |= {"variants.dcgan.images.smoke": 256}
    for key, value in changes.items():
        put(params, key, value)
    YAML(typ="safe").dump(params, folder / "params.yaml")
    variables = {"PYTHONPATH": str(ROOT), **variables}
    run("timeout", "60", "python", "-m", "stages.train", "dcgan", cwd=folder, check=True, **variables)
    found = hashes(folder)
    assert len(found) > 5
    return found


def test_no_variable_changes_a_byte(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        for name in {name for variables in VARIABLES.values() for name in variables}:
            patched.delenv(name, raising=False)
        found = {name: train(folder, 1, variables) for name, variables in VARIABLES.items()}
        assert all(of_one == found["none"] for of_one in found.values())
        several = {name: train(folder, 2, VARIABLES[name]) for name in ("none", *LIMITING)}
        assert all(of_one == several["none"] for of_one in several.values())
        assert several["none"] != found["none"]  # config.json names the number, at least


@pytest.mark.parametrize("name", VARIABLES)
def test_every_library_uses_one_thread(name: str) -> None:
    done = run("python", "-c", COUNT, cwd=ROOT, check=True, **VARIABLES[name])
    counts = json.loads(done.stdout)
    assert {"openblas", "openmp"} <= counts.keys()
    assert set(counts.values()) == {1}
