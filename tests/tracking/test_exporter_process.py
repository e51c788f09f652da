"""How a stage finds, starts and awaits an exporter."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from stages.config.params import Tracking
from stages.tracking import exporter_process
from stages.tracking.event_log import EventLog
from stages.tracking.exporter_process import leave_notice, new_log_folder, take_notices, wait_for_exporter
from tests.tracking.conftest import exporters, runs


def test_logs_that_one_exporter_may_export_share_a_key(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = new_log_folder("x"), new_log_folder("y")
    assert first != second
    assert first.suffix == second.suffix
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert new_log_folder("x").suffix != first.suffix


def test_one_exporter_serves_stage_after_stage(tracking: Tracking, tmp_path: Path) -> None:
    served = []
    for name in ("x", "y"):
        with EventLog(tracking, name) as event_log:
            event_log.begin_run(name, {})
        served.append(exporters())
    assert len(served[0]) == 1
    assert served[0] == served[1]
    assert [run.info.run_name for run in runs(tmp_path)] == ["x", "y"]


def test_an_exporter_that_was_killed_has_a_successor_and_no_run_twice(tracking: Tracking, tmp_path: Path) -> None:
    with EventLog(tracking, "x") as event_log:
        event_log.begin_run("x", {"seed": 0})
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (event_log.folder and list(event_log.folder.glob("run_id-*"))):
            time.sleep(0.1)
        (first,) = exporters()
        os.kill(first, signal.SIGKILL)
        event_log.metrics(10, {"loss": 2.0})
    (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["training/loss"] == 2.0


def test_an_exporter_that_cannot_start_costs_one_line_that_leads_to_why(
    tracking: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("mlflow.py").write_text("raise ImportError('half an installation')")  # found first by the exporter alone
    with EventLog(tracking, "x") as event_log:
        event_log.begin_run("x", {})
    messages = tmp_path / "repository/.cache/exporter.log"
    assert f"the exporter broke, see {messages}" in capfd.readouterr().err
    assert "half an installation" in messages.read_text()


def test_what_exporters_have_to_tell_is_told_once(tracking: Tracking, tmp_path: Path) -> None:
    assert take_notices() == []
    (tmp_path / "repository/.cache").mkdir()
    for text in ("first", "second", "first"):
        leave_notice(text)
    assert take_notices() == ["first", "second"]
    assert take_notices() == []


def test_what_is_left_while_another_is_taken_is_not_lost(tracking: Tracking) -> None:
    texts = [str(number) for number in range(40)]
    told: list[str] = []

    def leave_all() -> None:
        for text in texts:
            leave_notice(text)

    exporter = threading.Thread(target=leave_all)
    exporter.start()
    while exporter.is_alive():
        told += take_notices()
    assert told + take_notices() == texts


def test_a_stage_waits_only_so_long_and_only_where_mlflow_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_process, "start_exporter", lambda log: None)
    began = time.monotonic()
    assert wait_for_exporter(tmp_path, None, 0.2) == "the store did not answer in 0.2 s"
    assert 0.2 <= time.monotonic() - began < 5
    (tmp_path / "failure").write_text("the store is away")
    assert wait_for_exporter(tmp_path, None, 60) == "the store is away"
    assert wait_for_exporter(tmp_path / "exported", None, 60) == ""
    monkeypatch.setattr(exporter_process, "find_spec", lambda name: None)
    assert wait_for_exporter(tmp_path, None, 60) == "MLflow is not installed"
