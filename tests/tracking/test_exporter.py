"""Exporting in a real MLflow store: live, late, and with the store away."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.config.params import Tracking
from stages.tracking import event_log as event_log_module
from stages.tracking import exporter
from stages.tracking.event_log import EventLog
from stages.tracking.exporter_process import FAILURE
from stages.tracking.log_follower import LogFollower
from stages.tracking.run_names import MODEL_TAG
from stages.tracking.store import STORE_FILE, open_store, quiet
from tests.tracking.conftest import HASH, client, event_logs, exporters, log_training, logged_models, runs


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
    assert run.data.metrics["training/generator_loss"] == 2.0
    assert run.data.tags[MODEL_TAG] == HASH


def test_the_reason_of_a_failure_appears_whole(
    alone: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that waits reads it as soon as the file is there: an empty one would say that nothing failed."""
    log_training(alone, tmp_path / "model")
    (log,) = event_logs(tmp_path)
    written: list[bool] = []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    monkeypatch.setattr(STORE_FILE, "held", None)  # another test's
    monkeypatch.setattr(os, "fsync", lambda file: written.append((log / FAILURE).exists()))
    with quiet():
        exporter._follow(log, {})
    assert written == [False]  # the text is on disk before the file has its name
    assert "nowhere" in (log / FAILURE).read_text()


@pytest.mark.parametrize("when", ["between", "within"])
def test_a_store_that_was_deleted_is_begun_anew_though_its_exporter_lives(
    when: str, tracking: Tracking, tmp_path: Path
) -> None:
    log_training(tracking, tmp_path / "model")
    (first,) = exporters()
    store = tmp_path / "repository/mlflow.db"
    with EventLog(tracking, "y") as event_log:
        if when == "between":
            store.unlink()
        event_log.begin_run("y", {"seed": 0})
        event_log.metrics(10, {"loss": 2.0})
        if when == "within":
            deadline = time.monotonic() + 60
            while not list((tmp_path / "repository/.cache/tracking").glob("*/run_id-*")):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            store.unlink()
        event_log.metrics(20, {"loss": 1.0})
    assert first not in exporters()
    (run,) = runs(tmp_path)
    assert (run.info.run_name, run.info.status) == ("y", "FINISHED")
    curve = client(tmp_path).get_metric_history(run.info.run_id, "training/loss")
    assert [point.value for point in curve] == [2.0, 1.0]


@pytest.mark.parametrize("what", ["experiment", "run"])
def test_a_run_that_is_deleted_under_way_is_whole_in_the_end(
    what: str, tracking: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    open_store("reprogan")  # or this process and the exporter would both make its tables
    capfd.readouterr()
    with EventLog(tracking, "x") as event_log:
        event_log.begin_run("x", {"seed": 0})
        event_log.metrics(10, {"loss": 2.0})
        deadline = time.monotonic() + 60
        while not (found := runs(tmp_path)) or "training/loss" not in found[0].data.metrics:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        if what == "experiment":
            client(tmp_path).delete_experiment(found[0].info.experiment_id)
        else:
            client(tmp_path).delete_run(found[0].info.run_id)
        event_log.metrics(20, {"loss": 1.0})
    line = "tracking: the experiment 'reprogan' was deleted in MLflow: restored, with all its runs\n"
    assert capfd.readouterr().err == (line if what == "experiment" else "")
    (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert (run.info.run_id == found[0].info.run_id) == (what == "experiment")
    curve = client(tmp_path).get_metric_history(run.info.run_id, "training/loss")
    assert [point.value for point in curve] == [2.0, 1.0]


@pytest.mark.parametrize("is_late", [False, True])
def test_an_experiment_that_was_deleted_is_restored_and_one_line_says_so(
    is_late: bool,
    tracking: Tracking,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    log_training(tracking, tmp_path / "model")
    store = client(tmp_path)
    experiment = store.get_experiment_by_name("reprogan")
    assert experiment is not None
    store.delete_experiment(experiment.experiment_id)
    capfd.readouterr()
    with monkeypatch.context() as patch:
        if is_late:
            for process in exporters():  # it would export the next log too
                os.kill(process, signal.SIGKILL)
            patch.setattr(event_log_module, "start_exporter", lambda folder: None)
            patch.setattr(event_log_module, "wait_for_exporter", lambda folder, process, seconds: "")
        log_training(tracking, tmp_path / "model")
    if is_late:
        (log,) = event_logs(tmp_path)
        assert exporter.sync() == 0
    said = capfd.readouterr()
    line = "the experiment 'reprogan' was deleted in MLflow: restored, with all its runs\n"
    assert (said.out, said.err) == ((f"exported {log.name}\n{line}", "") if is_late else ("", f"tracking: {line}"))
    assert [run.info.status for run in runs(tmp_path)] == ["FINISHED", "FINISHED"]


def test_sync_keeps_off_a_running_stage_and_repairs_a_broken_off_log(
    tracking: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = (
        "import os, sys; from stages.config.params import Tracking; from stages.tracking import event_log as module\n"
        "module.start_exporter = lambda folder: None\n"
        "module.SystemMetrics.start = lambda self: None\n"  # writes no line after the half one
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


def test_sync_does_not_miss_a_log_that_an_exporter_removed_meanwhile(
    alone: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        log_training(alone, tmp_path / "model")
    logs = sorted(event_logs(tmp_path))
    advance = LogFollower.advance

    def remove_the_other(self: LogFollower) -> bool:
        shutil.rmtree(logs[1])
        return advance(self)

    monkeypatch.setattr(LogFollower, "advance", remove_the_other)
    assert exporter.sync() == 0
    assert capfd.readouterr().out == f"exported {logs[0].name}\n"
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


def test_where_artifacts_cannot_be_stored_the_rest_is_recorded_and_sync_completes_the_same_run(
    tracking: Tracking, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "repository/mlartifacts"
    place.write_text("a file in the place of the folder")
    log_training(tracking, tmp_path / "model")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "pictures and model are missing: " in told
    with EventLog(tracking, "evaluate-x") as event_log:  # its scores find the run all the same
        event_log.join_run("x", HASH, "last")
        event_log.scores(20, {"fid": 3.5}, {})
    (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"training/generator_loss": 2.0, "scores/fid": 3.5}
    assert exporter.sync() == 1  # still away
    place.unlink()
    assert exporter.sync() == 0
    (again,) = runs(tmp_path)
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    assert again.data.metrics == run.data.metrics
    assert len(client(tmp_path).get_metric_history(run.info.run_id, "training/generator_loss")) == 2
    assert len(list((place / run.info.run_id).rglob("*.png"))) == 3
    assert len(logged_models(tmp_path, again)) == 1
    assert event_logs(tmp_path) == []


def test_sync_goes_to_work_at_once_after_a_store_was_broken(tracking: Tracking, tmp_path: Path) -> None:
    """The exporter that failed idles for a while, and must not keep the log."""
    log_training(tracking, tmp_path / "model")
    database = tmp_path / "repository/mlflow.db"
    content = database.read_bytes()
    database.write_bytes(b"no database" * 1000)
    log_training(tracking, tmp_path / "model")
    assert len(event_logs(tmp_path)) == 1
    database.write_bytes(content)
    assert exporters()
    assert exporter.sync() == 0
    assert len(runs(tmp_path)) == 2


@pytest.mark.parametrize("warnings", ["", "error", "default"])
def test_sync_says_nothing_but_its_own_lines(
    warnings: str, alone: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither MLflow, which makes a database here, nor its libraries; nor do settings of other scripts count."""
    log_training(alone, tmp_path / "model")
    monkeypatch.setenv("PYTHONWARNINGS", warnings)
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    monkeypatch.setenv("MLFLOW_RUN_ID", HASH[:32])
    (folder,) = event_logs(tmp_path)
    command = [sys.executable, "-m", "stages.tracking.exporter", "sync"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"exported {folder.name}\n", "")
    (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert len(logged_models(tmp_path, run)) == 1


def test_sync_names_a_database_that_is_locked_once(
    alone: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        log_training(alone, tmp_path / "model")
    database = tmp_path / "repository/mlflow.db"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert exporter.sync() == 2
    told = capfd.readouterr().err
    assert told.endswith(f" and 1 more: {database}: OperationalError: database is locked\n")
    assert told.count("\n") == 1
    assert exporter.sync() == 0
