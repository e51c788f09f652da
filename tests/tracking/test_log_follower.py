"""Logs are read as they grow, whole lines only, and once."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from stages.tracking import log_follower
from stages.tracking.artifacts import ArtifactError, Artifacts
from stages.tracking.log_follower import LogFollower


class FakeExporter:
    """Notes what it is given; its artifact store has no room for a model."""

    def __init__(self, folder: Path) -> None:
        self.given: list[list[dict[str, Any]]] = []
        self.artifacts = Artifacts(folder)

    def apply(self, events: list[dict[str, Any]]) -> None:
        self.given.append(events)
        if any(event["event"] == "model" for event in events):
            self.artifacts.obstacle = OSError("no room")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty log."""
    monkeypatch.setattr(log_follower, "MLflowExporter", FakeExporter)
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "events.jsonl").touch()
    return folder


def append(folder: Path, text: str) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write(text)


def given(follower: LogFollower) -> list[list[dict[str, Any]]]:
    assert isinstance(follower.exporter, FakeExporter)
    return follower.exporter.given


def test_whole_lines_are_exported_once_and_now_and_then(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with FileLock(folder / "lock"):  # the stage lives
        follower = LogFollower(folder)
        assert not follower.advance()
        assert given(follower) == []
        append(folder, '{"event": "a"}\n{"event": "b"}\n{"ev')
        assert not follower.advance()
        assert given(follower) == [[{"event": "a"}, {"event": "b"}]]
        append(folder, 'ent": "c"}\n')
        assert not follower.advance()  # too soon
        assert len(given(follower)) == 1
        clock[0] += log_follower.LIVE_SECONDS
        assert not follower.advance()
        assert given(follower)[1:] == [[{"event": "c"}]]
        append(folder, '{"event": "end", "status": "FINISHED"}\n')
        assert follower.advance()  # an end does not wait
        assert given(follower)[2:] == [[{"event": "end", "status": "FINISHED"}]]
    assert not folder.exists()


@pytest.mark.parametrize("written", ["", '{"event": "a"}\n{"half'])
def test_a_log_whose_stage_died_ends_as_killed_when_it_was_last_written(written: str, folder: Path) -> None:
    append(folder, written)
    os.utime(folder / "events.jsonl", (1000, 1000))
    follower = LogFollower(folder)
    assert follower.advance()
    (events,) = given(follower)
    assert events[-1] == {"event": "end", "status": "KILLED", "time": 1000000}
    assert events[:-1] == ([{"event": "a"}] if written else [])


def test_one_log_has_one_follower_at_a_time(folder: Path) -> None:
    with FileLock(folder / "exporting"), pytest.raises(Timeout):
        LogFollower(folder)
    first = LogFollower(folder)
    with pytest.raises(Timeout):
        LogFollower(folder)
    first.close()
    LogFollower(folder).close()


def test_a_log_that_lacks_artifacts_in_the_store_is_kept(folder: Path) -> None:
    append(folder, '{"event": "model"}\n{"event": "end", "status": "FINISHED"}\n')
    with pytest.raises(ArtifactError):
        LogFollower(folder).advance()
    assert (folder / "events.jsonl").exists()
