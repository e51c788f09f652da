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
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("is_exported", [True, False])
def test_a_clone_stays_while_mlflow_lacks_something_of_it(
    is_exported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, log = tmp_path / TASK["folder"], ".cache/tracking/1-train.key/events.jsonl"

    def build(task: Task, folder: Path, *others: object) -> tuple[int, str]:
        (folder / log).parent.mkdir(parents=True)
        if not is_exported:
            (folder / log).touch()
        return 0, ""

    monkeypatch.setattr(worker, "build", build)
    monkeypatch.setattr(worker, "unpack", lambda archive, folder: None)
    outcome = run_task(b"", TASK, str(tmp_path), {})
    assert outcome["state"] == worker.DONE
    assert folder.exists() != is_exported
    command = f"cd {folder} && python -m stages.tracking.exporter sync"
    assert (command in capsys.readouterr().out) != is_exported
