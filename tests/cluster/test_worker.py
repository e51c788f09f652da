"""The part of a task that Ray sends to machines without this repository, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stages.cluster import worker
from stages.cluster.worker import Task, run_task
from tests.conftest import clean_environment

TASK = Task(
    name="mlp", stage="evaluate@mlp", overrides=[], stages=[], needs=[0], folder="key-mlp", processes=1, threads=1
)


def test_it_needs_no_file_of_this_repository(tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("ray").cloudpickle
    cloudpickle.register_pickle_by_value(worker)
    try:
        content = cloudpickle.dumps((run_task, TASK))
    finally:
        cloudpickle.unregister_pickle_by_value(worker)
    failed = {"name": "reference", "state": "failed", "reason": "", "lock": {}}
    code = f"""
import pickle, sys
run_task, task = pickle.loads({content!r})
print(run_task(b"", task, "", {{}}, {failed}))
assert not [name for name in sys.modules if name.split(".")[0] == "stages"]
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert "it needs reference" in done.stdout, done.stderr
