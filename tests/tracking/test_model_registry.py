"""Scores of models, versions in the registry, and the champion."""

import shutil
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from stages.config.params import Tracking
from stages.sampling.loading import load_generator
from stages.storage.pixels import to_uint8
from stages.tracking import exporter
from stages.tracking.event_log import EventLog
from stages.tracking.exporter_process import FAILURE
from stages.tracking.recorded_scores import record_report, record_scores
from stages.tracking.store import quiet
from tests.conftest import ROOT
from tests.tracking.conftest import CLASSES, HASH, client, event_logs, logged_models, model_files, runs, store_uri

pytestmark = pytest.mark.usefixtures("exported_here")

CURVE = [{"images": 20, "fid": 8.0, "inception_score": 2.0}]
OTHER = "b" * 64


def scored(sha256: str, fid: float, starts_from: str = "latents") -> dict[str, Any]:
    """A model as in scores.json; its FID to validation images is a little lower."""
    run = {"variant": {"images": 20}, "seed": 0, "checkpoint": "last"}
    scores = {"fid": {"value": fid, "ci95": 0.25, "real": 1.5}, "validation_fid": {"value": fid - 1, "real": 1.0}}
    checkpoint = {"rule": "last", "images": 20}
    return {
        "model_sha256": sha256,
        "run": run | {"starts_from": starts_from},
        "checkpoint": checkpoint,
        "scores": scores,
    }


def train(tracking: Tracking, folder: Path, name: str, sha256: str, seed: int) -> None:
    with EventLog(tracking, name) as event_log:
        event_log.begin_run(f"{name}", {"checkpoint": "last", "seed": seed})
        event_log.model(model_files(folder / name, seed), sha256)


def evaluate(tracking: Tracking, name: str, model: dict[str, Any]) -> None:
    with EventLog(tracking, f"evaluate-{name}") as event_log:
        record_scores(event_log, name, model, CURVE, [0])


def versions(tmp_path: Path, name: str) -> list[Any]:
    found = client(tmp_path).search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda version: int(version.version))


def champion(tmp_path: Path) -> Any:
    return client(tmp_path).get_model_version_by_alias("reprogan", "champion")


def test_models_are_ranked_by_their_scores_and_a_later_evaluation_counts(tracking: Tracking, tmp_path: Path) -> None:
    for seed, (name, sha256, fid) in enumerate((("x", HASH, 3.0), ("y", OTHER, 2.0))):
        train(tracking, tmp_path, name, sha256, seed)
        for value in (9.0, fid, fid):  # with other settings, say; and the same again
            evaluate(tracking, name, scored(sha256, value))
    store, (first, second) = client(tmp_path), runs(tmp_path)
    best_first = [{"field_name": "metrics.scores/fid", "ascending": True}]
    ranked = store.search_logged_models([first.info.experiment_id], order_by=best_first)
    assert [model.name for model in ranked] == ["y", "x"]
    for run, model, fid in ((first, ranked[1], 3.0), (second, ranked[0], 2.0)):
        metrics = {metric.key: metric.value for metric in store.get_logged_model(model.model_id).metrics or ()}
        assert metrics == {"scores/fid": fid, "scores/fid_ci95": 0.25, "scores/validation_fid": fid - 1}
        assert metrics.items() <= run.data.metrics.items()
        assert run.data.tags["real.fid"] == "1.5"
        assert [point.value for point in store.get_metric_history(run.info.run_id, "scores/fid")] == [9.0, fid]
        (version,) = versions(tmp_path, f"reprogan-{model.name}")
        assert version.source == f"models:/{model.model_id}"
        assert (
            version.tags.items() >= {"variant": model.name, "fid": f"{fid:g}", "validation_fid": f"{fid - 1:g}"}.items()
        )


def test_scores_of_an_earlier_checkpoint_replace_those_of_a_later_one(tracking: Tracking, tmp_path: Path) -> None:
    """With another classifier, say, another checkpoint is the best."""
    train(tracking, tmp_path, "x", HASH, 0)
    for images, fid in ((20, 3.0), (10, 2.5), (10, 2.5)):
        evaluate(tracking, "x", scored(HASH, fid) | {"checkpoint": {"rule": "last", "images": images}})
    (run,) = runs(tmp_path)
    assert run.data.metrics["scores/fid"] == 2.5
    assert len(client(tmp_path).get_metric_history(run.info.run_id, "scores/fid")) == 2
    (version,) = versions(tmp_path, "reprogan-x")
    assert version.tags["fid"] == "2.5"


def test_a_log_that_is_exported_late_changes_nothing_newer(alone: Tracking, tmp_path: Path) -> None:
    train(alone, tmp_path, "x", HASH, 0)
    for fid in (9.0, 3.0):
        evaluate(alone, "x", scored(HASH, fid))
        time.sleep(0.01)  # event logs have milliseconds
    training, old, new = sorted(event_logs(tmp_path), key=lambda log: (log / "events.jsonl").stat().st_mtime_ns)
    with quiet():
        for log in (training, new, old):
            exporter._follow(log, {})
    assert event_logs(tmp_path) == []
    (run,) = runs(tmp_path)
    assert run.data.metrics["scores/fid"] == 3.0
    (version,) = versions(tmp_path, "reprogan-x")
    assert version.tags["fid"] == "3"


def test_scores_wait_for_the_log_of_their_training(alone: Tracking, tmp_path: Path) -> None:
    """The store was away when the training ended, and is back."""
    train(alone, tmp_path, "x", HASH, 0)
    (training,) = event_logs(tmp_path)
    (training / FAILURE).write_text("away")
    evaluate(alone, "x", scored(HASH, 3.0))
    record_report(alone, {"x": [scored(HASH, 3.0)]})
    later = set(event_logs(tmp_path)) - {training}
    assert len(later) == 2
    with quiet():
        for log in later:
            exporter._follow(log, {})
            assert (log / FAILURE).read_text().endswith("the log of the training waits, and comes first")
    assert runs(tmp_path) == []
    assert exporter.sync() == 0
    (run,) = runs(tmp_path)
    assert run.data.metrics["scores/fid"] == 3.0
    assert champion(tmp_path).tags["weights_sha256"] == run.data.tags["reprogan.served_sha256"]


def test_a_variant_has_a_version_for_each_of_its_weights(tracking: Tracking, tmp_path: Path) -> None:
    train(tracking, tmp_path, "x", HASH, 0)
    train(tracking, tmp_path, "x", HASH, 0)  # the same again
    train(tracking, tmp_path, "x", OTHER, 1)
    found = versions(tmp_path, "reprogan-x")
    assert len({version.tags["weights_sha256"] for version in found}) == len(found) == 2


def test_the_champion_is_the_best_generator_of_the_build_and_moves_back(tracking: Tracking, tmp_path: Path) -> None:
    for seed, (name, sha256) in enumerate((("x", HASH), ("y", OTHER), ("translator", "c" * 64))):
        train(tracking, tmp_path, name, sha256, seed)
    translator = {"translator": [scored("c" * 64, 0.5, "images")]}
    for fids, best in (((3.0, 2.0), "y"), ((3.0, 4.0), "x"), ((3.0, 2.0), "y")):
        record_report(tracking, {"x": [scored(HASH, fids[0])], "y": [scored(OTHER, fids[1])], **translator})
        assert champion(tmp_path).tags["variant"] == best
    assert len(versions(tmp_path, "reprogan")) == 2  # no weights twice
    mlflow.set_tracking_uri(store_uri(tmp_path))
    images = mlflow.pyfunc.load_model("models:/reprogan@champion").predict(
        pd.DataFrame({"seed": [7], "label": ["Bag"]})
    )
    generator = load_generator(tmp_path / "y", torch.device("cpu"))
    expected = to_uint8(generator.sample(torch.tensor([CLASSES.index("Bag")]), seed=7)).numpy()
    assert np.array_equal(images, expected)


def test_where_a_model_is_unknown_nobody_is_champion(tracking: Tracking, tmp_path: Path) -> None:
    record_report(tracking, {"x": [scored(HASH, 3.0)]})
    assert client(tmp_path).search_registered_models() == []
    assert event_logs(tmp_path) == []


def test_a_best_checkpoint_has_the_scores_and_the_last_one_none(tracking: Tracking, tmp_path: Path) -> None:
    train(tracking, tmp_path, "x", HASH, 0)
    with EventLog(tracking, "evaluate-x") as event_log:
        event_log.join_run("x", HASH, "last")
        event_log.model(model_files(tmp_path / "best", 1), HASH)
        event_log.scores(20, {"fid": 3.0}, {})
    (run,) = runs(tmp_path)
    last, best = logged_models(tmp_path, run)
    store = client(tmp_path)
    assert not store.get_logged_model(last.model_id).metrics
    assert [metric.value for metric in store.get_logged_model(best.model_id).metrics or ()] == [3.0]
    assert ["fid" in version.tags for version in versions(tmp_path, "reprogan-x")] == [False, True]


@pytest.mark.parametrize("has_page", [True, False])
def test_a_build_has_the_ranking_and_the_page(has_page: bool, tracking: Tracking, tmp_path: Path) -> None:
    report = tmp_path / "copy/metrics/report"
    report.mkdir(parents=True)
    if has_page:
        (report / "index.html").write_text("<!doctype html>")
    head = "variant,rank,fid,fid_ci95,validation_fid\n"
    (report.parent / "summary.csv").write_text(f"{head}x,1,3.0,0.25,2.0\nbroken,,,,\n")
    for _ in range(2):
        record_report(tracking, {"x": [scored(HASH, 3.0)]})
    (run,) = runs(tmp_path)
    parent = client(tmp_path).get_run(run.data.tags["mlflow.parentRunId"])
    assert "| 1 | x | 3.00 ± 0.25 | 2.00 |" in parent.data.tags["mlflow.note.content"]
    assert "broken" not in parent.data.tags["mlflow.note.content"]
    files = [file.path for file in client(tmp_path).list_artifacts(parent.info.run_id, "report")]
    assert files == (["report/index.html"] if has_page else [])
    shutil.rmtree(report)


def test_what_people_wrote_of_a_run_outlives_its_evaluation(tracking: Tracking, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", Path.cwd())
    train(tracking, tmp_path, "mlp", HASH, 0)
    (run,), store = runs(tmp_path), client(tmp_path)
    store.set_tag(run.info.run_id, "mlflow.note.content", "mine")
    evaluate(tracking, "mlp", scored(HASH, 3.0))
    note = store.get_run(run.info.run_id).data.tags["mlflow.note.content"]
    assert note.startswith("**mlp**: ")
    assert note.endswith("mine")
