"""Exporting in a real MLflow store: live, late, and with the store away."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.config.params import Tracking
from stages.tracking import exporter
from stages.tracking.run_names import MODEL_TAG
from tests.tracking.conftest import HASH, event_logs, log_training, runs


def test_a_store_that_is_away_costs_one_line_and_is_caught_up_later(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    log_training(tracking, tmp_path / "model")
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "python -m stages.tracking.exporter sync" in said
    assert runs(tmp_path) == []
    assert exporter.sync() == 1
    assert capfd.readouterr().err.count("not exported ") == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert exporter.sync() == 0
    assert exporter.sync() == 0  # nothing is left to do
    (run,) = runs(tmp_path)
    assert run.data.metrics["generator_loss"] == 2.0
    assert run.data.tags[MODEL_TAG] == HASH


def test_sync_keeps_off_a_running_stage_and_repairs_a_broken_off_log(
    tracking: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = (
        "import os, sys; from stages.config.params import Tracking; from stages.tracking import event_log as module\n"
        "module.start_exporter = lambda folder: None\n"
        "with module.EventLog(Tracking(enabled=True, experiment='reprogan', wait_seconds=1), 'x') as event_log:\n"
        "    event_log.begin_run('x', {'seed': 0})\n"
        "    open(event_log.folder / 'events.jsonl', 'a').write('{\"event\": \"metr')\n"
        "    print('ready', flush=True); sys.stdin.read()"
    )
    stage = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert stage.stdout is not None
    assert stage.stdout.readline() == b"ready\n"
    assert exporter.sync() == 0
    assert "its stage is running" in capfd.readouterr().out
    assert runs(tmp_path) == []
    stage.kill()
    stage.wait()
    assert exporter.sync() == 0
    assert [run.info.status for run in runs(tmp_path)] == ["KILLED"]
    assert not event_logs(tmp_path)


def test_a_killed_stage_leaves_a_killed_run(tracking: Tracking, tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from stages.config.params import Tracking; from stages.tracking import event_log as module\n"
        "with module.EventLog(Tracking(enabled=True, experiment='reprogan', wait_seconds=60), 'x') as event_log:\n"
        "    event_log.begin_run('x', {'seed': 0})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and event_logs(tmp_path):
        time.sleep(0.5)
    assert [run.info.status for run in runs(tmp_path)] == ["KILLED"]
