"""Scores of models in MLflow, in runs that are there or restored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from stages.config.params import Tracking
from stages.storage.files import write_bytes
from stages.tracking.event_log import EventLog
from stages.tracking.restored_runs import flatten_scores, record_scores, restore_runs
from stages.tracking.run_names import SERVED_TAG
from tests.tracking.conftest import HASH, client, log_training, logged_models, model_files, runs

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


def test_models_from_the_cache_get_a_run_with_their_scores_once(tracking: Tracking, tmp_path: Path) -> None:
    models = {"x": [model(), model("b" * 64, seed=1)], "y": [model("c" * 64)]}
    for _ in range(2):
        restore_runs(tracking, models)
    found = runs(tmp_path)
    assert sorted(run.info.run_name or "" for run in found) == ["x", "x", "y"]
    assert sorted(run.data.tags["reprogan.model_sha256"] for run in found) == [HASH, "b" * 64, "c" * 64]
    for run in found:
        assert run.data.tags["reprogan.restored"] == "true"
        assert run.info.status == "FINISHED"
        assert run.data.params["variant.images"] == "20"
        assert FLAT.items() <= run.data.metrics.items()
        (point,) = client(tmp_path).get_metric_history(run.info.run_id, "fid")
        assert point.step == 20


def test_models_whose_run_is_there_are_not_restored(tracking: Tracking, tmp_path: Path) -> None:
    log_training(tracking, tmp_path / "model")
    restore_runs(tracking, {"x": [model()]})
    (run,) = runs(tmp_path)
    assert "reprogan.restored" not in run.data.tags
    assert "fid" not in run.data.metrics


def test_scores_and_their_curve_join_the_run_of_the_training(tracking: Tracking, tmp_path: Path) -> None:
    log_training(tracking, tmp_path / "model")
    with EventLog(tracking, "evaluate-x") as event_log:
        record_scores(event_log, "x", model(), CURVE, [0])
    (run,) = runs(tmp_path)
    assert FLAT.items() <= run.data.metrics.items()
    curve = client(tmp_path).get_metric_history(run.info.run_id, "snapshot_fid")
    assert [(point.step, point.value) for point in curve] == [(10, 8.0), (20, 4.0)]
    assert run.data.metrics["snapshot_inception_score"] == 9.0
    assert len(logged_models(tmp_path, run)) == 1


def test_the_chosen_checkpoint_of_a_seed_is_logged_to_its_run(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copy/models/x/seed_4"
    first, last = (load(model_files(folder, seed)["generator.safetensors"]) for seed in (1, 2))
    snapshots = {f"generator.{name}": torch.stack([first[name], last[name]]) for name in first}
    write_bytes(folder / "snapshots.safetensors", save(snapshots | {"images_seen": torch.tensor([10, 20])}))
    with EventLog(tracking, "x") as event_log:
        event_log.begin_run("x", {"checkpoint": "best"})
        event_log.model(
            {name: (folder / name).read_bytes() for name in ("config.json", "generator.safetensors")}, (1, 5, 5), HASH
        )
    with EventLog(tracking, "evaluate-x") as event_log:
        record_scores(event_log, "x", model(rule="best", seed=4), CURVE, [3, 4])
    (run,) = runs(tmp_path)
    assert run.data.metrics["checkpoint_images"] == 10
    assert run.data.tags[SERVED_TAG] == hashlib.sha256(save(first)).hexdigest()
    assert len(logged_models(tmp_path, run)) == 2
