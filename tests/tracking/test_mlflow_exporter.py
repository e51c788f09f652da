"""What an MLflow store holds in the end: runs with all their parts, joined, restored, and none twice."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.tracking import MlflowClient
from PIL import Image

from stages.config.params import Tracking
from stages.sampling.loading import load_generator
from stages.storage.pixels import to_uint8
from stages.tracking import exporter
from stages.tracking.event_log import EventLog
from stages.tracking.mlflow_exporter import MLflowExporter
from stages.tracking.run_names import MODEL_TAG
from tests.tools.faults import in_the_way_of
from tests.tracking.conftest import (
    CLASSES,
    HASH,
    client,
    event_logs,
    events,
    log_training,
    logged_models,
    model_files,
    runs,
    sample_images,
)

pytestmark = pytest.mark.usefixtures("exported_here")


def read_picture(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


def test_a_training_is_one_run_with_everything(tracking: Tracking, tmp_path: Path) -> None:
    log_training(tracking, tmp_path / "model")
    (run,) = runs(tmp_path)
    assert run.info.run_name == "x"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"network.name": "mlp", "network.widths": "[1, 2]", "seed": "0", "checkpoint": "last"}
    tags = run.data.tags
    assert (tags["dvc.stage"], tags["dvc.exp_name"]) == ("train@x", "odd-name")
    assert tags[MODEL_TAG] == HASH
    curve = client(tmp_path).get_metric_history(run.info.run_id, "training/generator_loss")
    assert [(point.step, point.value) for point in curve] == [(10, 1.0), (20, 2.0)]
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "data/processed/train"
    assert dataset.dataset.digest == ("0123456789abcdef" * 4)[:36]  # as much as MLflow takes
    pictures = sorted((tmp_path / "repository/mlartifacts").rglob("*.png"))
    steps = {picture.name.split("+timestamp+")[0]: int(read_picture(picture)[2, 2, 0]) for picture in pictures}
    samples = {f"along_training~samples+step+{step}": step for step in (10, 20)}
    assert steps == samples | {"along_training~last_samples+step+0": 20}
    assert read_picture(pictures[0]).shape == (13, 49, 3)  # 8 × 2 images of 5 × 5 with lines between
    assert read_picture(pictures[0])[9, 3].tolist() == [7, 8, 9]
    assert not event_logs(tmp_path)  # exported logs are removed


def test_a_run_may_have_more_of_everything_than_mlflow_takes_in_a_call(tracking: Tracking, tmp_path: Path) -> None:
    with EventLog(tracking, "x") as event_log:
        event_log.begin_run("x", {"long": "y" * 7000} | {str(number): number for number in range(250)})
        for step in range(2100):
            event_log.metrics(step, {"loss": float(step)})
    (run,) = runs(tmp_path)
    assert run.data.params["long"] == "y" * 6000
    assert [run.data.params[str(number)] for number in range(250)] == [str(number) for number in range(250)]
    curve = client(tmp_path).get_metric_history(run.info.run_id, "training/loss")
    assert [point.value for point in curve] == list(range(2100))


def test_an_evaluation_joins_the_latest_run_of_its_model(tracking: Tracking, tmp_path: Path) -> None:
    for _ in range(2):
        log_training(tracking, tmp_path / "model")
    with EventLog(tracking, "z") as event_log:  # the same weights, trained to choose the best of along the way
        event_log.begin_run("z", {"checkpoint": "best"})
        event_log.model(model_files(tmp_path / "model"), HASH)
    with EventLog(tracking, "evaluate") as event_log:
        event_log.join_run("x", HASH, "last")
        event_log.scores(20, {"fid": 1.5}, {})
        event_log.join_run("y", "b" * 64, "last")  # nobody's model: nothing to add to
        event_log.scores(20, {"fid": 9.0}, {})
    first, second, third = runs(tmp_path)
    assert "scores/fid" not in first.data.metrics
    assert "scores/fid" not in third.data.metrics
    assert second.data.metrics["scores/fid"] == 1.5
    assert second.info.status == "FINISHED"


def test_chosen_checkpoints_of_several_seeds_go_each_to_its_run(tracking: Tracking, tmp_path: Path) -> None:
    hashes = [HASH, "b" * 64]
    for seed, sha256 in enumerate(hashes):
        with EventLog(tracking, "x") as event_log:
            event_log.begin_run("x", {"seed": seed, "checkpoint": "best"})
            event_log.model(model_files(tmp_path / "last", 9), sha256)
    for _ in range(2):  # scored twice
        with EventLog(tracking, "evaluate") as event_log:
            for seed, sha256 in enumerate(hashes):
                event_log.join_run("x", sha256, "best")
                event_log.model(model_files(tmp_path / str(seed), seed), sha256)
    rows = pd.DataFrame({"seed": [7], "label": [CLASSES[3]]})
    for seed, run in enumerate(runs(tmp_path)):
        assert run.data.tags[MODEL_TAG] == hashes[seed]
        last, best = logged_models(tmp_path, run)  # and no second copy of the best
        images = [mlflow.pyfunc.load_model(model.model_uri).predict(rows) for model in (last, best)]
        for folder, of_model in zip((tmp_path / "last", tmp_path / str(seed)), images, strict=True):
            generator = load_generator(folder, torch.device("cpu"))
            assert np.array_equal(of_model, to_uint8(generator.sample(torch.tensor([3]), seed=7)).numpy())
        assert not np.array_equal(*images)


@pytest.mark.parametrize("is_restored", [False, True])
def test_an_export_that_is_broken_off_goes_on_in_its_run_and_doubles_nothing(
    is_restored: bool, alone: Tracking, tmp_path: Path
) -> None:
    parameters = {"seed": 0, "checkpoint": "last", "long": "y" * 7000}
    with EventLog(alone, "x") as event_log:
        if is_restored:
            event_log.join_run("x", HASH, "last", parameters)
        else:
            event_log.begin_run("x", parameters)
        event_log.dataset("data/processed/train", 55000, "0123")
        for step in (10, 20):
            event_log.metrics(step, {"generator_loss": step / 10})
            event_log.images("samples", step, sample_images(step))
        event_log.model(model_files(tmp_path / "model"), HASH)
    (log,) = event_logs(tmp_path)
    written = events(tmp_path)
    for count in range(1, len(written)):
        MLflowExporter(log).apply(written[:count])
    assert exporter.sync() == 0
    (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert ("reprogan.restored" in run.data.tags) == is_restored
    assert run.data.params["seed"] == "0"
    curve = client(tmp_path).get_metric_history(run.info.run_id, "training/generator_loss")
    assert [(point.step, point.value) for point in curve] == [(10, 1.0), (20, 2.0)]
    assert len(run.inputs.dataset_inputs) == 1
    assert len(logged_models(tmp_path, run)) == 1
    for kind in ("png", "webp"):
        assert len(list((tmp_path / "repository/mlartifacts").rglob(f"{run.info.run_id}/**/*.{kind}"))) == 3


def test_a_run_that_was_deleted_meanwhile_or_belongs_to_another_store_is_begun_anew(
    alone: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventLog(alone, "x") as event_log:
        event_log.begin_run("x", {"seed": 0})
    (log,) = event_logs(tmp_path)
    MLflowExporter(log).apply(events(tmp_path))
    client(tmp_path).delete_run(runs(tmp_path)[0].info.run_id)
    MLflowExporter(log).apply(events(tmp_path))
    (run,) = runs(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    assert exporter.sync() == 0
    build, other = MlflowClient(f"sqlite:///{tmp_path}/other.db").search_runs(["1"], order_by=["tags.`reprogan.build`"])
    assert other.data.tags["mlflow.parentRunId"] == build.info.run_id
    assert (other.info.status, other.data.params) == ("FINISHED", {"seed": "0"})
    assert other.info.run_id != run.info.run_id


def test_a_chosen_model_that_cannot_be_stored_changes_nothing_else_of_its_run(
    tracking: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log_training(tracking, tmp_path / "model")
    (before,) = runs(tmp_path)
    with in_the_way_of(tmp_path / "repository/mlartifacts"):
        with EventLog(tracking, "evaluate") as event_log:
            event_log.join_run("x", HASH, "last")
            event_log.scores(20, {"fid": 1.5}, {})
            event_log.model(model_files(tmp_path / "best", 1), HASH)
        said = capfd.readouterr().err
        assert (said.count("\n"), said.count("pictures and model are missing: ")) == (1, 1)
        assert exporter.sync() == 1
        (scored,) = runs(tmp_path)
        assert scored.data.metrics["scores/fid"] == 1.5
        assert scored.info.status == "FINISHED"
    assert exporter.sync() == 0
    (after,) = runs(tmp_path)
    assert (after.info.status, after.info.end_time) == ("FINISHED", before.info.end_time)
    assert after.data.metrics == scored.data.metrics
    models = logged_models(tmp_path, after)
    assert [model.status for model in models] == ["READY", "READY"]
    weights = [next(Path(one.artifact_location[7:]).rglob("generator.safetensors")).read_bytes() for one in models]
    assert weights == [(tmp_path / folder / "generator.safetensors").read_bytes() for folder in ("model", "best")]
