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
from stages.tracking.restored_runs import NOTICE, flatten_scores, record_scores, restore_runs
from tests.tracking.conftest import HASH, client, event_logs, events, model_files, runs

SCORES: dict[str, dict[str, Any]] = {
    "fid": {"value": 3.0, "ci95": 0.25, "real": 1.5},
    "kid": {"value": 0.5, "std": 0.125},
    "modes": {"value": 7},
    "class_fid": {"value": {"Bag": 4.0}},
}
FLAT = {"fid": 3.0, "fid_ci95": 0.25, "fid_real": 1.5, "kid": 0.5, "kid_std": 0.125, "modes": 7}
CURVE = [
    {"images": images, "fid": fid, "fid_real": 1.0, "inception_score": 9.0, "inception_score_real": 9.5}
    for images, fid in ((10, 8.0), (20, 4.0))
]


def model(sha256: str = HASH, rule: str = "last", seed: int = 0) -> Mapping[str, Any]:
    run = {"variant": {"images": 20}, "image_shape": [1, 5, 5], "seed": seed, "checkpoint": rule}
    checkpoint = {"rule": rule, "images": 10 if rule == "best" else 20}
    return {"model_sha256": sha256, "run": run, "checkpoint": checkpoint, "scores": SCORES}


def test_scores_are_flat_numbers_and_nested_ones_are_passed_over() -> None:
    assert flatten_scores(SCORES) == FLAT


def test_models_without_a_run_get_one_with_their_scores_once(
    tracking: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with EventLog(tracking, "x") as event_log:
        event_log.begin_run("x", {"checkpoint": "last"})
        event_log.model(model_files(tmp_path / "model"), (1, 5, 5), HASH)
    models = {"x": [model(), model("b" * 64, seed=1)], "y": [model("c" * 64)]}
    capfd.readouterr()
    restore_runs(tracking, models)
    assert capfd.readouterr().err == f"tracking: {NOTICE}\n"
    restore_runs(tracking, models)
    assert capfd.readouterr().err == ""
    trained, *restored = runs(tmp_path)
    assert "reprogan.restored" not in trained.data.tags
    assert "fid" not in trained.data.metrics  # evaluation adds them
    found = {run.data.tags["reprogan.model_sha256"]: run.info.run_name for run in restored}
    assert found == {"b" * 64: "x", "c" * 64: "y"}
    assert len(restored) == 2
    for run in restored:
        assert run.data.tags["reprogan.restored"] == "true"
        assert run.info.status == "FINISHED"
        assert run.data.params["variant.images"] == "20"
        assert run.data.metrics == FLAT
        (point,) = client(tmp_path).get_metric_history(run.info.run_id, "fid")
        assert point.step == 20


def test_scores_and_their_curve_join_the_run_of_the_training(alone: Tracking, tmp_path: Path) -> None:
    with EventLog(alone, "evaluate-x") as event_log:
        record_scores(event_log, "x", model(), CURVE, [0])
    join, *metrics = (event for event in events(tmp_path) if event["event"] not in ("store", "end"))
    assert (join["event"], join["model_sha256"], join["checkpoint"], join["otherwise"]) == ("join", HASH, "last", None)
    assert [(event["step"], event["values"]) for event in metrics] == [
        (20, FLAT),
        (10, {"snapshot_fid": 8.0, "snapshot_inception_score": 9.0}),
        (20, {"snapshot_fid": 4.0, "snapshot_inception_score": 9.0}),
    ]


def test_the_chosen_checkpoint_of_a_seed_is_logged_too(alone: Tracking, tmp_path: Path) -> None:
    folder = tmp_path / "copy/models/x/seed_4"
    first, last = (load(model_files(folder, seed)["generator.safetensors"]) for seed in (1, 2))
    snapshots = {f"generator.{name}": torch.stack([first[name], last[name]]) for name in first}
    write_bytes(folder / "snapshots.safetensors", save(snapshots | {"images_seen": torch.tensor([10, 20])}))
    with EventLog(alone, "evaluate-x") as event_log:
        record_scores(event_log, "x", model(rule="best", seed=4), CURVE, [3, 4])
    *_, metrics, logged, _ = events(tmp_path)
    assert metrics["values"] == {"checkpoint_images": 10}
    assert (logged["event"], logged["sha256"], logged["image_shape"]) == ("model", HASH, [1, 5, 5])
    (log,) = event_logs(tmp_path)
    files = log / logged["folder"]
    assert (files / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    weights = load((files / "generator.safetensors").read_bytes())
    assert weights.keys() == first.keys()
    assert all(torch.equal(weights[name], first[name]) for name in first)
