"""Journals in a real MLflow store: live, late, joined, restored, and with the store away."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.tracking import MlflowClient
from PIL import Image
from safetensors.torch import load_file, save

from stages.adversarial.parts import build_part, build_parts
from stages.sample import load_generator
from stages.settings.params import Tracking, load
from stages.support.files import write_bytes, write_json
from stages.support.images import to_float, to_uint8
from stages.tracking import recorder
from stages.tracking.journal import Journal, flatten
from tests.conftest import ROOT

HASH = "a" * 64


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    """Tracking into a store of the test's own; stages run from another folder, as in a temporary copy."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repository"))
    monkeypatch.setenv("DVC_STAGE", "train@x")
    monkeypatch.setenv("DVC_EXP_NAME", "odd-name")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "repository").mkdir()
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    return load(ROOT / "params.yaml").tracking


def client(tmp_path: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path / 'repository' / 'mlflow.db'}")


def runs(tmp_path: Path) -> list[Any]:
    store = client(tmp_path)
    experiment = store.get_experiment_by_name("reprogan")
    return store.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]) if experiment else []


def model_files(folder: Path) -> dict[str, bytes]:
    """A small conditional generator's files, written to a folder too."""
    network: dict[str, Any] = {
        "name": "mlp",
        "latent_size": 3,
        "generator_widths": [4],
        "discriminator_widths": [4],
        "generator_slope": 0.0,
        "discriminator_slope": 0.2,
        "batch_norm": "none",
        "dropout": 0.0,
        "label_embedding_size": 2,
    }
    from stages.settings.params import PartChoice

    built = build_part("network", PartChoice(**network), "test")
    torch.manual_seed(0)
    rules = {"name": "standard", "generator_fakes": "fresh", "instance_noise": 0.0, "instance_noise_until": 1.0}
    variant = {"game": rules, "network": network}
    write_json(folder / "config.json", {"variant": variant, "image_shape": [1, 5, 5], "classes": 10})
    write_bytes(folder / "generator.safetensors", save(built.generator((1, 5, 5), 10).state_dict()))
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def sample_images(step: int) -> np.ndarray:
    """Nine of three channels: in a grid of eight columns the last begins the second row."""
    images = np.full((9, 3, 5, 5), step, np.uint8)
    images[8] = np.array([7, 8, 9])[:, None, None]
    return images


def record_training(tracking: Tracking, folder: Path) -> None:
    parameters = {"network": {"name": "mlp", "widths": [1, 2]}, "seed": 0, "checkpoint": "last"}
    with Journal(tracking, "x") as journal:
        journal.begin_run("x", parameters)
        journal.dataset("data/processed/train", 55000)
        for step in (10, 20):
            journal.metrics(step, {"generator_loss": step / 10})
            journal.images("samples", step, sample_images(step))
        journal.model(model_files(folder), (1, 5, 5), HASH)


def read_picture(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


def test_a_training_is_one_run_with_everything(tracking: Tracking, tmp_path: Path) -> None:
    record_training(tracking, tmp_path / "model")
    (run,) = runs(tmp_path)
    assert run.info.run_name == "x"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"network.name": "mlp", "network.widths": "[1, 2]", "seed": "0", "checkpoint": "last"}
    tags = run.data.tags
    assert (tags["dvc.stage"], tags["dvc.exp_name"]) == ("train@x", "odd-name")
    assert tags[recorder.MODEL_TAG] == HASH
    curve = client(tmp_path).get_metric_history(run.info.run_id, "generator_loss")
    assert [(point.step, point.value) for point in curve] == [(10, 1.0), (20, 2.0)]
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "data/processed/train"
    pictures = sorted((tmp_path / "repository/mlartifacts").rglob("*.png"))
    assert sorted(int(read_picture(picture)[2, 2, 0]) for picture in pictures) == [10, 20]
    assert read_picture(pictures[0]).shape == (13, 49, 3)  # 8 × 2 images of 5 × 5 with lines between
    assert read_picture(pictures[0])[9, 3].tolist() == [7, 8, 9]
    assert not list((tmp_path / "repository/.cache/tracking").iterdir())  # recorded journals are removed


def test_the_logged_model_draws_what_the_generator_draws(tracking: Tracking, tmp_path: Path) -> None:
    record_training(tracking, tmp_path / "model")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'repository' / 'mlflow.db'}")
    (run,) = runs(tmp_path)
    (logged,) = mlflow.search_logged_models([run.info.experiment_id], output_format="list")
    model = mlflow.pyfunc.load_model(logged.model_uri)
    assert model.metadata.signature.inputs.input_names() == ["seed", "label"]
    assert model.metadata.saved_input_example_info is not None
    images = model.predict(pd.DataFrame({"seed": [7, 8], "label": [3, 3]}))
    generator = load_generator(tmp_path / "model", torch.device("cpu"))
    expected = to_uint8(generator.sample(torch.tensor([3]), seed=7)).numpy()
    assert images.shape == (2, 1, 5, 5)
    assert np.array_equal(images[:1], expected)
    assert not list((tmp_path / "repository/mlartifacts").rglob("*.pkl"))


def test_a_logged_translator_takes_images(tracking: Tracking, tmp_path: Path) -> None:
    variant = load(ROOT / "params.yaml").variants["cyclegan"]
    parts = build_parts("cyclegan", variant)
    folder = tmp_path / "model"
    config = {"variant": variant.model_dump(), "image_shape": [1, 12, 12], "classes": 10}
    write_json(folder / "config.json", config)
    translators = parts["game"].generator(parts["network"], (1, 12, 12), 10)
    write_bytes(folder / "generator.safetensors", save(translators.state_dict()))
    with Journal(tracking, "cyclegan") as journal:
        journal.begin_run("cyclegan", {})
        journal.model(contents(folder), (1, 12, 12), HASH)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'repository' / 'mlflow.db'}")
    (run,) = runs(tmp_path)
    (logged,) = mlflow.search_logged_models([run.info.experiment_id], output_format="list")
    outlines = np.random.default_rng(0).integers(0, 256, (3, 1, 12, 12), np.uint8)
    images = mlflow.pyfunc.load_model(logged.model_uri).predict(outlines)
    with torch.no_grad():
        expected = translators.translate(to_float(torch.from_numpy(outlines)), "digits")
    assert np.array_equal(images, to_uint8(expected).numpy())


def test_an_evaluation_joins_the_latest_run_of_its_model(tracking: Tracking, tmp_path: Path) -> None:
    for _ in range(2):
        record_training(tracking, tmp_path / "model")
    with Journal(tracking, "z") as journal:  # the same weights, trained to choose the best of along the way
        journal.begin_run("z", {"checkpoint": "best"})
        journal.model(model_files(tmp_path / "model"), (1, 5, 5), HASH)
    with Journal(tracking, "evaluate") as journal:
        journal.join_run("x", HASH, "last")
        journal.metrics(20, {"fid": 1.5})
        journal.join_run("y", "b" * 64, "last")  # nobody's model: nothing to add to
        journal.metrics(20, {"fid": 9.0})
    first, second, third = runs(tmp_path)
    assert "fid" not in first.data.metrics
    assert "fid" not in third.data.metrics
    assert second.data.metrics["fid"] == 1.5
    assert second.info.status == "FINISHED"


def test_chosen_checkpoints_of_several_seeds_go_each_to_its_run(tracking: Tracking, tmp_path: Path) -> None:
    hashes = {"0": HASH, "1": "b" * 64}
    for seed, sha256 in hashes.items():
        with Journal(tracking, "x") as journal:
            journal.begin_run("x", {"seed": seed, "checkpoint": "best"})
            journal.model(model_files(tmp_path / "last"), (1, 5, 5), sha256)
    weights = tmp_path / "best" / "generator.safetensors"
    for _ in range(2):  # scored twice
        with Journal(tracking, "evaluate") as journal:
            for seed, sha256 in hashes.items():
                model_files(tmp_path / "best")
                torch.manual_seed(int(seed))
                state = {key: torch.randn_like(value) for key, value in load_file(weights).items()}
                write_bytes(weights, save(state))
                journal.join_run("x", sha256, "best")
                journal.model(contents(tmp_path / "best"), (1, 5, 5), sha256)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'repository' / 'mlflow.db'}")
    drawn = []
    for run in runs(tmp_path):
        logged = mlflow.search_logged_models([run.info.experiment_id], output_format="list")
        of_run = [one for one in logged if one.source_run_id == run.info.run_id]
        assert len(of_run) == 2  # the last and the best, and no second copy of it
        latest = max(of_run, key=lambda one: one.creation_timestamp)
        drawn.append(mlflow.pyfunc.load_model(latest.model_uri).predict(pd.DataFrame({"seed": [7], "label": [3]})))
    for seed, images in zip(hashes, drawn, strict=True):
        torch.manual_seed(int(seed))
        write_bytes(weights, save({key: torch.randn_like(value) for key, value in load_file(weights).items()}))
        generator = load_generator(tmp_path / "best", torch.device("cpu"))
        assert np.array_equal(images, to_uint8(generator.sample(torch.tensor([3]), seed=7)).numpy())


def test_models_from_the_cache_get_a_run_marked_restored_once(tracking: Tracking, tmp_path: Path) -> None:
    for _ in range(2):
        with Journal(tracking, "report") as journal:
            for name, sha256, fid in (("x", HASH, 1.5), ("y", "b" * 64, 2.5)):
                journal.join_run(name, sha256, "last", {"seed": 0, "checkpoint": "last"})
                journal.metrics(20, {"fid": fid})
    found = runs(tmp_path)
    assert [run.data.tags["reprogan.restored"] for run in found] == ["true", "true"]
    assert [run.info.status for run in found] == ["FINISHED", "FINISHED"]
    assert sorted(run.data.metrics["fid"] for run in found) == [1.5, 2.5]


def test_a_restored_run_that_was_broken_off_is_made_anew(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        attach = Journal._attach
        patch.setattr(Journal, "_attach", lambda journal, name, _: attach(journal, name, b"no array"))
        with Journal(tracking, "x") as journal:
            journal.join_run("x", HASH, "last", {"seed": 0, "checkpoint": "last"})
            journal.images("samples", 20, sample_images(20))
    (picture,) = (tmp_path / "repository/.cache/tracking").rglob("*.npy")
    np.save(picture, sample_images(20))
    assert recorder.sync() == 0
    (run,) = runs(tmp_path)
    assert run.data.tags["reprogan.restored"] == "true"
    assert len(list((tmp_path / "repository/mlartifacts").rglob(f"{run.info.run_id}/**/*.png"))) == 1


def test_a_failed_training_is_a_failed_run(tracking: Tracking, tmp_path: Path) -> None:
    def diverge() -> None:
        with Journal(tracking, "x") as journal:
            journal.begin_run("x", {})
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        diverge()
    assert [run.info.status for run in runs(tmp_path)] == ["FAILED"]


def test_a_store_that_is_away_costs_one_line_and_is_caught_up_later(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/nowhere/mlflow.db")
    record_training(tracking, tmp_path / "model")
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "python -m stages.tracking.recorder sync" in said
    assert runs(tmp_path) == []
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for _ in range(2):  # the second finds nothing left to do
        recorder.sync()
    (run,) = runs(tmp_path)
    assert run.data.metrics["generator_loss"] == 2.0
    assert run.data.tags[recorder.MODEL_TAG] == HASH


def test_sync_keeps_off_a_running_stage_and_mends_a_broken_off_journal(
    tracking: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = (
        "import os, sys; from stages.settings.params import Tracking; from stages.tracking.journal import Journal\n"
        "Journal._spawn_recorder = lambda self: None\n"
        "with Journal(Tracking(enabled=True, experiment='reprogan', wait_seconds=1), 'x') as journal:\n"
        "    journal.begin_run('x', {'seed': 0})\n"
        "    open(journal.folder / 'events.jsonl', 'a').write('{\"event\": \"metr')\n"
        "    print('ready', flush=True); sys.stdin.read()"
    )
    stage = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert stage.stdout is not None
    assert stage.stdout.readline() == b"ready\n"
    assert recorder.sync() == 0
    assert "its stage is running" in capfd.readouterr().out
    assert runs(tmp_path) == []
    stage.kill()
    stage.wait()
    assert recorder.sync() == 0
    assert [run.info.status for run in runs(tmp_path)] == ["KILLED"]
    assert not list((tmp_path / "repository/.cache/tracking").iterdir())


def test_a_killed_stage_leaves_a_killed_run(tracking: Tracking, tmp_path: Path) -> None:
    script = (
        "import os, signal; from stages.settings.params import Tracking; from stages.tracking.journal import Journal\n"
        "with Journal(Tracking(enabled=True, experiment='reprogan', wait_seconds=60), 'x') as journal:\n"
        "    journal.begin_run('x', {'seed': 0})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any((tmp_path / "repository/.cache/tracking").iterdir()):
        time.sleep(0.5)
    assert [run.info.status for run in runs(tmp_path)] == ["KILLED"]


def recorders() -> list[int]:
    """Process ids of recorders that serve this test's repository."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (process / "environ").read_bytes().split(b"\0")
            if b"stages.tracking.recorder" in (process / "cmdline").read_bytes() and (
                f"DVC_ROOT={os.environ['DVC_ROOT']}".encode() in variables
            ):
                found.append(int(process.name))
    return found


def test_one_recorder_serves_stage_after_stage(tracking: Tracking, tmp_path: Path) -> None:
    served = []
    for name in ("x", "y"):
        with Journal(tracking, name) as journal:
            journal.begin_run(name, {})
        served.append(recorders())
    assert len(served[0]) == 1
    assert served[0] == served[1]
    assert [run.info.run_name for run in runs(tmp_path)] == ["x", "y"]


def test_a_recorder_that_was_killed_has_a_successor_and_no_run_twice(tracking: Tracking, tmp_path: Path) -> None:
    with Journal(tracking, "x") as journal:
        journal.begin_run("x", {"seed": 0})
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (journal.folder and (journal.folder / "run_id").exists()):
            time.sleep(0.1)
        (first,) = recorders()
        os.kill(first, signal.SIGKILL)
        journal.metrics(10, {"loss": 2.0})
    (run,) = runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"loss": 2.0}


def test_a_recorder_that_cannot_start_costs_one_line_that_leads_to_why(
    tracking: Tracking, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("mlflow.py").write_text("raise ImportError('half an installation')")  # found first by the recorder alone
    with Journal(tracking, "x") as journal:
        journal.begin_run("x", {})
    log = tmp_path / "repository/.cache/recorder.log"
    assert f"the recorder broke, see {log}" in capfd.readouterr().err
    assert "half an installation" in log.read_text()


def test_tracking_switched_off_leaves_no_trace(tracking: Tracking, tmp_path: Path) -> None:
    with Journal(tracking.model_copy(update={"enabled": False}), "x") as journal:
        journal.begin_run("x", {})
        journal.metrics(1, {"loss": 1.0})
        journal.images("samples", 1, np.zeros((1, 1, 2, 2), np.uint8))
    assert list((tmp_path / "repository").iterdir()) == []


def test_flatten_joins_names_with_dots() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}
