"""Event logs: what is written, and how a run ends."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from stages.config.params import Tracking
from stages.tracking.event_log import EventLog
from tests.tracking.conftest import HASH, event_logs, events, runs, sample_images


def test_events_are_lines_in_order_and_files_beside_them(alone: Tracking, tmp_path: Path) -> None:
    with EventLog(alone, "x") as event_log:
        event_log.begin_run("x", {"a": {"b": 1}})
        event_log.dataset("data", 3, "abc")
        event_log.metrics(10, {"fid": 1.5, "class_fid": {"0": 2.0}, "name": "x"})
        event_log.images("samples", 10, sample_images(10)[:, :, ::2])  # not contiguous
        event_log.model({"config.json": b"{}"}, HASH)
        event_log.join_run("y", HASH, "best")
    (folder,) = event_logs(tmp_path)
    assert (folder.name.split("-")[1], folder.suffix[1:].isalnum()) == ("x", True)
    store, run, dataset, metrics, image, last, model, join, end = events(tmp_path)
    assert (store["event"], store["experiment"]) == ("store", "reprogan")
    assert (run["event"], run["name"], run["parameters"]) == ("run", "x", {"a.b": 1})
    assert (dataset["event"], dataset["path"], dataset["rows"], dataset["digest"]) == ("dataset", "data", 3, "abc")
    assert (metrics["event"], metrics["step"], metrics["values"]) == ("metrics", 10, {"training/fid": 1.5})
    assert (image["event"], image["name"], image["step"]) == ("image", "along_training/samples", 10)
    assert (last["name"], last["step"], last["file"]) == ("along_training/last_samples", 0, image["file"])
    assert np.array_equal(load_file(folder / image["file"])["images"], sample_images(10)[:, :, ::2])
    assert (model["event"], model["sha256"]) == ("model", HASH)
    assert (folder / model["folder"] / "config.json").read_bytes() == b"{}"
    assert (join["event"], join["model_sha256"], join["checkpoint"], join["otherwise"]) == ("join", HASH, "best", None)
    assert (end["event"], end["status"]) == ("end", "FINISHED")


def test_an_interrupted_stage_is_a_killed_run(alone: Tracking, tmp_path: Path) -> None:
    def interrupt() -> None:
        with EventLog(alone, "x"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert events(tmp_path)[-1]["status"] == "KILLED"


def test_a_failed_training_is_a_failed_run(tracking: Tracking, tmp_path: Path) -> None:
    def diverge() -> None:
        with EventLog(tracking, "x") as event_log:
            event_log.begin_run("x", {})
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        diverge()
    assert [run.info.status for run in runs(tmp_path)] == ["FAILED"]


@pytest.mark.parametrize("when", ["begun", "under way"])
def test_what_cannot_be_written_is_reported_once(
    when: str, alone: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if when == "begun":
        (tmp_path / "repository/.cache").write_text("a file in the way")
    with EventLog(alone, "x") as event_log:
        if when == "under way":
            (folder,) = event_logs(tmp_path)
            folder.rename(tmp_path / "gone")
        event_log.begin_run("x", {})
        event_log.images("samples", 1, sample_images(1))
        event_log.model({"config.json": b"{}"}, HASH)
    said = capfd.readouterr().err
    assert said.startswith("tracking: given up for this run: ")
    assert said.count("\n") == 1


def test_tracking_switched_off_leaves_no_trace(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "repository/mlflow.db").unlink()
    with EventLog(tracking.model_copy(update={"enabled": False}), "x") as event_log:
        event_log.begin_run("x", {})
        event_log.metrics(1, {"loss": 1.0})
        event_log.images("samples", 1, np.zeros((1, 1, 2, 2), np.uint8))
    assert list((tmp_path / "repository").iterdir()) == []
