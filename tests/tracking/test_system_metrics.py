"""CPU, memory and GPU use of a stage."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from stages.config.params import Tracking
from stages.tracking import system_metrics
from stages.tracking.event_log import EventLog
from stages.tracking.system_metrics import Look, SystemMetrics
from tests.tracking.conftest import events

GPUS = "#!/bin/sh\necho '0, 87, 1234'\necho '1, [N/A], 5.5'\n"


def test_a_run_has_its_machine_by_the_second(alone: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "SECONDS", 0.05)
    with EventLog(alone, "x") as event_log:
        event_log.begin_run("x", {})
        deadline = time.monotonic() + 20
        while sum(event["event"] == "metrics" for event in events(tmp_path)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    *_, metrics, end = events(tmp_path)
    assert end["event"] == "end"
    assert metrics["values"].keys() >= {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"}
    assert 1 < metrics["values"]["system/stage_memory_usage_megabytes"] < 10**6
    assert not [thread for thread in threading.enumerate() if thread.name == "system metrics"]


def test_a_log_that_only_joins_runs_watches_nothing(alone: Tracking) -> None:
    with EventLog(alone, "x") as event_log:
        event_log.join_run("x", "a" * 64, "last")
        assert not [thread for thread in threading.enumerate() if thread.name == "system metrics"]


def test_gpus_are_those_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text(GPUS)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    numbers = Look()()
    assert {key: value for key, value in numbers.items() if key.startswith("gpu")} == {
        "gpu_0_utilization_percentage": 87.0,
        "gpu_0_memory_usage_megabytes": 1234.0,
        "gpu_1_memory_usage_megabytes": 5.5,
    }


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("method", ["__init__", "__call__"])
def test_a_look_that_fails_ends_the_watch_and_nothing_else(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise OSError("no /proc here")

    monkeypatch.setattr(system_metrics, "SECONDS", 0.01)
    monkeypatch.setattr(Look, method, fail)
    recorded: list[Any] = []
    monitor = SystemMetrics(lambda *arguments: recorded.append(arguments))
    monitor.start()
    monitor.join(10)
    assert not monitor.is_alive()
    monitor.close()
    assert recorded == []
