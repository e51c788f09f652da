"""A store that was deleted is filled from disk: the same runs as those of the trainings, each once."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stages.storage.files import read_json, sha256, write_csv, write_json
from tests.tools.faults import TRAIN, environment, run_there, small_training, stop_exporters, train

RESTORE = (sys.executable, "-m", "stages.tracking.restore")
SEEDS = (0, 3)
EMPTY = "empty.db"  # a store that MLflow has made, with nothing in it
NOTHING_TO_DO = "MLflow: runs of 2 models: 2 complete, 0 completed now, 0 restored\n"
COMPLETED = "MLflow: runs of 2 models: 0 complete, 2 completed now, 0 restored\n"
SCORES = {"fid": {"value": 3.0, "ci95": 0.25, "real": 1.0}, "class_fid": {"value": {"Bag": 4.0}}}
RECORD = """
from stages.config.params import load
from stages.storage.files import read_json
from stages.storage.paths import VARIANTS
from stages.tracking.event_log import EventLog
from stages.tracking.recorded_scores import record_report, record_scores
models, tracking = read_json(VARIANTS / "mlp/scores.json")["models"], load(components=False).tracking
"""
EVALUATE = f"""{RECORD}
with EventLog(tracking, "evaluate-mlp") as event_log:
    for model in models:
        record_scores(event_log, "mlp", model, [dict(images=32000, fid=8.0, inception_score=2.0)], {list(SEEDS)})
"""
REPORT = f"{RECORD}\nrecord_report(tracking, {{'mlp': models}})"


def write_scores(folder: Path) -> None:
    """What evaluation leaves, of both seeds: the second snapshot is the best."""
    models: list[dict[str, Any]] = []
    for model in (folder / "models/mlp", folder / f"models/mlp/seed_{SEEDS[1]}"):
        about = {"model_sha256": sha256(model / "generator.safetensors"), "run": read_json(model / "config.json")}
        models.append(about | {"checkpoint": {"rule": "best", "images": 16000}, "scores": SCORES})
    write_json(folder / "metrics/variants/mlp/scores.json", {"models": models})
    rows = [{"seed": seed, "images": 32000, "fid": 8.0, "fid_real": 1.0, "inception_score": 2.0} for seed in SEEDS]
    write_csv(folder / "metrics/variants/mlp/scores.csv", list(rows[0]), rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """Two trainings with their scores, recorded as they ran."""
    changes: dict[str, Any] = {"tracking.enabled": True, "tracking.wait_seconds": 120}
    changes |= {"training.seeds": list(SEEDS), "training.checkpoint": "best"}
    folder = small_training(tmp_path_factory.mktemp("restore") / "built", changes)
    train(folder)
    write_scores(folder)
    assert run_there(folder, sys.executable, "-c", EVALUATE).stderr == ""
    shutil.copy(empty_store, folder / EMPTY)
    yield folder
    stop_exporters(folder)


def client_of_copy(folder: Path) -> MlflowClient:
    """A client of a copy of the store: MLflow would not see that another file has its name."""
    shutil.copy(folder / "mlflow.db", copy := Path(tempfile.mkdtemp(dir=folder)) / "copy.db")
    return MlflowClient(f"sqlite:///{copy}")


def read_runs(folder: Path) -> dict[str, Any]:
    """All that the store has of each seed's run."""
    client = client_of_copy(folder)
    found = client.search_runs(["1"])
    assert len({run.data.params["seed"] for run in found}) == len(found)
    return {run.data.params["seed"]: describe(client, run) for run in found}


def describe(client: MlflowClient, run: Run) -> dict[str, Any]:
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    pictures = sorted((artifacts / "images").glob("*.png"), key=lambda path: path.name)
    models = client.search_logged_models(["1"], f"source_run_id = '{run.info.run_id}'")
    folders = [Path(one.artifact_location.removeprefix("file://")) for one in models]
    inputs = run.inputs.dataset_inputs if run.inputs else []
    recorded = [key for key in run.data.metrics if not key.startswith("system/")]  # which nobody knows any more
    curves = {key: client.get_metric_history(run.info.run_id, key) for key in recorded}
    return {
        "run": (run.info.run_name, run.info.status),
        "parameters": {key: value for key, value in run.data.params.items() if not key.startswith("environment.")},
        "curves": {key: [(one.step, float(f"{one.value:.6g}")) for one in curve] for key, curve in curves.items()},
        "pictures": [(path.name.split("+timestamp+")[0], digest(path)) for path in pictures],
        "dataset": [(one.dataset.name, one.dataset.digest, one.dataset.profile) for one in inputs],
        "models": sorted(digest(path) for folder in folders for path in folder.rglob("generator.safetensors")),
        "tags": {
            key: value
            for key, value in run.data.tags.items()
            if re.match(r"reprogan\.(?!restored)|real\.|mlflow\.note", key)
        },
    }


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def recorded(folder: Path) -> dict[str, Any]:
    """The runs that the trainings recorded."""
    runs = read_runs(folder)
    assert set(runs) == {str(seed) for seed in SEEDS}
    for run in runs.values():
        assert (len(run["curves"]["training/generator_loss"]), len(run["pictures"]), len(run["models"])) == (20, 5, 2)
        assert run["curves"]["scores/fid"] == [(16000, 3.0)]  # of the best checkpoint
        assert run["curves"]["along_training/fid"] == [(32000, 8.0)]
        assert run["dataset"][0][0] == "data/processed/train"
    return runs


def delete_store(folder: Path) -> None:
    """An empty one is in its place: MLflow takes over a second to make it."""
    shutil.copy(folder / EMPTY, folder / "new.db")
    (folder / "new.db").replace(folder / "mlflow.db")
    shutil.rmtree(folder / "mlartifacts")


def test_restored_runs_are_those_of_the_trainings_and_none_is_made_twice(
    folder: Path, recorded: dict[str, Any]
) -> None:
    kept = run_there(folder, *RESTORE)
    assert kept.stdout.startswith(NOTHING_TO_DO)
    delete_store(folder)
    (folder / "mlflow.db").unlink()
    restored = run_there(folder, *RESTORE)
    first, second, summary, others = restored.stdout.splitlines()
    assert [first, second] == [f"restored mlp (seed {seed})" for seed in SEEDS]
    assert summary == "MLflow: runs of 2 models: 0 complete, 0 completed now, 2 restored"
    assert "dcgan" in others
    assert "mlp," not in others
    assert restored.stderr == ""
    assert read_runs(folder) == recorded
    runs = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_runs(["1"])
    assert [run.data.tags["reprogan.restored"] for run in runs] == ["true", "true"]
    assert run_there(folder, *RESTORE).stdout.startswith(NOTHING_TO_DO)
    assert read_runs(folder) == recorded


@pytest.mark.parametrize("lost", ["files and versions", "models"])
def test_what_a_run_lost_since_is_added_to_it(lost: str, folder: Path, recorded: dict[str, Any]) -> None:
    """The folder of artifacts was deleted, or models in the UI, while the runs are there."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    if lost == "models":
        for model in client.search_logged_models(["1"]):
            client.delete_logged_model(model.model_id)
    else:
        shutil.rmtree(folder / "mlartifacts")
        client.delete_registered_model("reprogan-mlp")
    assert run_there(folder, *RESTORE).stdout.startswith(COMPLETED)
    assert read_runs(folder) == recorded
    served = {run.data.tags["reprogan.served_sha256"] for run in client.search_runs(["1"])}
    versions = client.search_model_versions("name = 'reprogan-mlp'")
    assert served <= {version.tags["weights_sha256"] for version in versions}
    assert run_there(folder, *RESTORE).stdout.startswith(NOTHING_TO_DO)


def test_a_run_that_the_report_restored_gets_what_it_lacks(folder: Path, recorded: dict[str, Any]) -> None:
    delete_store(folder)
    assert "python -m stages.tracking.restore" in run_there(folder, sys.executable, "-c", REPORT).stderr
    bare = read_runs(folder)
    assert bare["0"]["parameters"] == recorded["0"]["parameters"]
    assert bare["0"]["curves"].keys() == {"scores/fid", "scores/fid_ci95"}
    assert run_there(folder, *RESTORE).stdout.startswith(COMPLETED)
    assert read_runs(folder) == recorded
    client = client_of_copy(folder)
    served = {run.data.tags["reprogan.served_sha256"] for run in client.search_runs(["1"])}
    versions = client.search_model_versions("name = 'reprogan-mlp'")
    assert len(versions) == 2 * len(served)  # the last weights, too, which were not scored
    assert all(("fid" in one.tags) == (one.tags["weights_sha256"] in served) for one in versions)


def test_a_run_whose_scores_dvc_did_not_compute_again_gets_them(folder: Path, recorded: dict[str, Any]) -> None:
    """A clone has the scores in git: where a training gives the same samples again, evaluation does not run."""
    delete_store(folder)
    shutil.move(folder / "metrics/variants/mlp/scores.json", folder / "aside")
    run_there(folder, *RESTORE)
    assert "scores/fid" not in read_runs(folder)["0"]["curves"]
    shutil.move(folder / "aside", folder / "metrics/variants/mlp/scores.json")
    assert run_there(folder, *RESTORE).stdout.startswith(COMPLETED)
    assert read_runs(folder) == recorded


def test_scores_of_the_other_rule_for_checkpoints_are_left_out(folder: Path, recorded: dict[str, Any]) -> None:
    """The best checkpoint may be the last: then both rules score the same weights."""
    scores = folder / "metrics/variants/mlp/scores.json"
    content = scores.read_text()
    delete_store(folder)
    scores.write_text(content.replace('"rule": "best"', '"rule": "last"'))
    assert run_there(folder, *RESTORE).stderr == ""
    assert "scores/fid" not in read_runs(folder)["0"]["curves"]
    scores.write_text(content)
    assert run_there(folder, *RESTORE).stdout.startswith(COMPLETED)
    assert read_runs(folder) == recorded


def test_a_broken_model_keeps_no_other_from_being_restored(folder: Path, recorded: dict[str, Any]) -> None:
    broken = folder / f"models/mlp/seed_{SEEDS[1]}/config.json"
    content = broken.read_text()
    delete_store(folder)
    broken.write_text("{")
    done = subprocess.run(RESTORE, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    broken.write_text(content)
    assert done.returncode == 1
    assert re.match(rf"error: models/mlp/seed_{SEEDS[1]}/config.json: .+\nerror: not recorded whole: 1; ", done.stderr)
    assert read_runs(folder) == {str(SEEDS[0]): recorded[str(SEEDS[0])]}
    run_there(folder, *RESTORE)
    assert read_runs(folder) == recorded


def test_a_training_that_diverged_has_no_run_to_restore(tmp_path: Path) -> None:
    wild = {"variants.mlp.regularizer.weight": 1e300, "variants.mlp.images.smoke": 640, "tracking.enabled": True}
    there = small_training(tmp_path / "wild", wild)
    run_there(there, *TRAIN)
    summary, others = run_there(there, *RESTORE).stdout.splitlines()
    assert "runs of 0 models" in summary
    assert "dcgan" in others
    assert "mlp," not in others  # DVC's cache has it: it is here
    stop_exporters(there)


def test_what_does_not_belong_to_a_model_is_left_out_of_its_run(folder: Path, recorded: dict[str, Any]) -> None:
    delete_store(folder)
    (folder / "metrics/variants/mlp/scores.json").unlink()  # not evaluated yet
    shutil.rmtree(folder / "data")
    losses = folder / "metrics/variants/mlp/losses.csv"
    rows = losses.read_text().splitlines(keepends=True)
    losses.write_text("".join(rows[:-1]))  # a later training of the second seed diverged
    run_there(folder, *RESTORE)
    runs = read_runs(folder)
    curves = {seed: recorded[seed]["curves"] for seed in runs}
    losses_alone = {key: curve for key, curve in curves["0"].items() if key.startswith("training/")}
    assert runs["0"]["curves"] == losses_alone
    assert runs["3"]["curves"] == {}
    for seed, run in runs.items():
        assert run["dataset"] == []
        assert run["pictures"] == recorded[seed]["pictures"]
        assert run["models"] == [
            digest(folder / ("models/mlp" if seed == "0" else "models/mlp/seed_3") / "generator.safetensors")
        ]


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("sqlite:////proc/nowhere/mlflow.db", ""),
        ("127.0.0.1:5000", "MLFLOW_TRACKING_URI: '127.0.0.1:5000': expected an address, such as http://"),
    ],
)
def test_a_store_that_is_away_costs_one_line(uri: str, says: str, folder: Path, recorded: dict[str, Any]) -> None:
    variables = environment(MLFLOW_TRACKING_URI=uri)
    done = subprocess.run(RESTORE, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: MLflow's store: .+\n", done.stderr)
    assert says in done.stderr
