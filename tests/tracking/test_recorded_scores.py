"""Scores of models in MLflow, in runs that are there or restored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from stages.config.params import Tracking
from stages.storage.files import write_bytes
from stages.tracking.event_log import EventLog
from stages.tracking.recorded_scores import NOTICE, record_report, record_scores, select_compared
from tests.tracking.conftest import HASH, client, event_logs, events, model_files, runs

pytestmark = pytest.mark.usefixtures("exported_here")

SCORES: dict[str, dict[str, Any]] = {
    "fid": {"value": 3.0, "ci95": 0.25, "real": 1.5},
    "kid": {"value": 0.5, "ci95": 0.5, "std": 0.125},
    "validation_fid": {"value": 2.0, "real": 1.0},
    "modes": {"value": 7},
    "class_fid": {"value": {"Bag": 4.0}},
}
VALUES = {"fid": 3.0, "fid_ci95": 0.25, "kid": 0.5, "validation_fid": 2.0}
REAL = {"fid": 1.5, "validation_fid": 1.0}
CURVE = [
    {"images": images, "fid": fid, "fid_real": 1.0, "inception_score": 9.0, "inception_score_real": 9.5}
    for images, fid in ((10, 8.0), (20, 4.0))
]


def model(sha256: str = HASH, rule: str = "last", seed: int = 0) -> Mapping[str, Any]:
    run = {"variant": {"images": 20}, "seed": seed, "checkpoint": rule, "starts_from": "latents"}
    checkpoint = {"rule": rule, "images": 10 if rule == "best" else 20}
    return {"model_sha256": sha256, "run": run, "checkpoint": checkpoint, "scores": SCORES}


def test_few_scores_are_metrics() -> None:
    assert select_compared(SCORES) == (VALUES, REAL)


def test_models_without_a_run_get_one_with_their_scores_once(
    tracking: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with EventLog(tracking, "x") as event_log:
        event_log.begin_run("x", {"checkpoint": "last"})
        event_log.model(model_files(tmp_path / "model"), HASH)
    models = {"x": [model(), model("b" * 64, seed=1)], "y": [model("c" * 64)]}
    capfd.readouterr()
    record_report(tracking, models)
    assert capfd.readouterr().err == f"tracking: {NOTICE}\n"
    record_report(tracking, models)
    assert capfd.readouterr().err == ""
    trained, *restored = runs(tmp_path)
    assert "reprogan.restored" not in trained.data.tags
    assert not trained.data.metrics  # evaluation adds them
    found = {run.data.tags["reprogan.model_sha256"]: run.info.run_name for run in restored}
    assert found == {"b" * 64: "x", "c" * 64: "y"}
    assert len(restored) == 2
    for run in restored:
        assert run.data.tags["reprogan.restored"] == "true"
        assert run.info.status == "FINISHED"
        assert run.data.params["variant.images"] == "20"
        assert run.data.metrics == {f"scores/{key}": value for key, value in VALUES.items()}
        assert run.data.tags["real.fid"] == "1.5"
        (point,) = client(tmp_path).get_metric_history(run.info.run_id, "scores/fid")
        assert point.step == 20


def test_scores_and_their_curve_join_the_run_of_the_training(alone: Tracking, tmp_path: Path) -> None:
    with EventLog(alone, "evaluate-x") as event_log:
        record_scores(event_log, "x", model(), CURVE, [0])
    _, join, *metrics, scores, note, _ = events(tmp_path)
    assert (join["event"], join["model_sha256"], join["checkpoint"], join["otherwise"]) == ("join", HASH, "last", None)
    assert [(event["step"], event["values"]) for event in metrics] == [
        (10, {"along_training/fid": 8.0, "along_training/inception_score": 9.0}),
        (20, {"along_training/fid": 4.0, "along_training/inception_score": 9.0}),
    ]
    assert (scores["event"], scores["step"]) == ("scores", 20)
    assert scores["scores"] == {f"scores/{key}": value for key, value in VALUES.items()}
    assert scores["real"] == REAL
    assert (note["event"], note["of_build"]) == ("note", False)


def test_the_chosen_checkpoint_of_a_seed_is_logged_too(alone: Tracking, tmp_path: Path) -> None:
    folder = tmp_path / "copy/models/x/seed_4"
    first, last = (load(model_files(folder, seed)["generator.safetensors"]) for seed in (1, 2))
    snapshots = {f"generator.{name}": torch.stack([first[name], last[name]]) for name in first}
    write_bytes(folder / "snapshots.safetensors", save(snapshots | {"images_seen": torch.tensor([10, 20])}))
    with EventLog(alone, "evaluate-x") as event_log:
        record_scores(event_log, "x", model(rule="best", seed=4), CURVE, [3, 4])
    *_, metrics, logged, scores, _, _ = events(tmp_path)
    assert scores["event"] == "scores"  # of the model that was logged before
    assert metrics["values"] == {"along_training/checkpoint_images": 10}
    assert (logged["event"], logged["sha256"]) == ("model", HASH)
    (log,) = event_logs(tmp_path)
    files = log / logged["folder"]
    assert (files / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    weights = load((files / "generator.safetensors").read_bytes())
    assert weights.keys() == first.keys()
    assert all(torch.equal(weights[name], first[name]) for name in first)
