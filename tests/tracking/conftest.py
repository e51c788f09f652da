"""What tests of tracking share: a store of the test's own, small models, and a training to log."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow.entities import LoggedModel, Run
from mlflow.tracking import MlflowClient
from safetensors.torch import save

from stages.config.components import resolve
from stages.config.params import Tracking, load
from stages.storage.files import write_bytes, write_json
from stages.storage.paths import CONFIG, GENERATOR
from stages.tracking import event_log as event_log_module
from stages.tracking import exporter
from stages.tracking.event_log import EventLog
from stages.tracking.exporter_process import FAILURE
from stages.tracking.run_names import BUILD_TAG
from stages.tracking.store import STORE_FILE, quiet
from tests.conftest import ROOT
from tests.tracking.history import PARAMS, commit, git, write

HASH = "a" * 64
CLASSES = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot"]
GAN = {"name": "standard"}
NETWORK: dict[str, Any] = {
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


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, which takes over a second: copied, it is another test's new store."""
    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{database}").search_experiments()
    return database


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Tracking:
    """Tracking into a store of the test's own; stages run from another folder, as in a temporary copy."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repository"))
    monkeypatch.setenv("DVC_STAGE", "train@x")
    monkeypatch.setenv("DVC_EXP_NAME", "odd-name")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "repository").mkdir()
    shutil.copy(empty_store, tmp_path / "repository")
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    return load(ROOT / "params.yaml", components=False).tracking


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A commit with parameters, in a folder of the git repository."""
    for variable in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write(PARAMS)
    git("init", "--quiet", str(tmp_path))
    commit("Try something: once")
    return folder


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tracking: Tracking) -> Tracking:
    """No exporter is started, and none is waited for."""
    monkeypatch.setattr(event_log_module, "start_exporter", lambda folder: None)
    monkeypatch.setattr(event_log_module, "wait_for_exporter", lambda folder, process, seconds: "")
    return tracking


@pytest.fixture
def exported_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each log is exported by the process that wrote it, when it ends: a new one takes seconds to import MLflow."""

    def export(log: Path, process: None, seconds: float) -> str:
        with quiet():
            exporter._follow(log, {})
        return (log / FAILURE).read_text() if log.exists() else ""

    monkeypatch.setattr(event_log_module, "start_exporter", lambda folder: None)
    monkeypatch.setattr(event_log_module, "wait_for_exporter", export)
    monkeypatch.setattr(STORE_FILE, "held", None)


def store_uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'repository' / 'mlflow.db'}"


def client(tmp_path: Path) -> MlflowClient:
    return MlflowClient(store_uri(tmp_path))


def runs(tmp_path: Path) -> list[Any]:
    """All runs in the test's store but those of builds, oldest first."""
    return [run for run in every_run(tmp_path) if BUILD_TAG not in run.data.tags]


def every_run(tmp_path: Path) -> list[Any]:
    """Those of builds too."""
    store = client(tmp_path)
    experiment = store.get_experiment_by_name("reprogan")
    if experiment is None:
        return []
    return list(store.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))


def logged_models(tmp_path: Path, run: Run) -> list[LoggedModel]:
    """The models that were logged to a run, oldest first."""
    mlflow.set_tracking_uri(store_uri(tmp_path))
    models = mlflow.search_logged_models([run.info.experiment_id], output_format="list")
    return sorted(
        (one for one in models if one.source_run_id == run.info.run_id), key=lambda one: one.creation_timestamp
    )


def event_logs(tmp_path: Path) -> list[Path]:
    """Folders of logs that were not exported."""
    return list((tmp_path / "repository/.cache/tracking").iterdir())


def events(tmp_path: Path) -> list[dict[str, Any]]:
    """What the one log holds that was not exported."""
    (folder,) = event_logs(tmp_path)
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def model_files(folder: Path, seed: int = 0) -> dict[str, bytes]:
    """A small conditional generator's files, written to a folder too."""
    config = {
        "variant": {"gan": GAN, "network": NETWORK},
        "image_shape": [1, 5, 5],
        "classes": CLASSES,
        "label_meaning": "class",
        "source_shape": None,
    }
    torch.manual_seed(seed)
    generator = resolve("network", NETWORK).generator((1, 5, 5), len(CLASSES))  # type: ignore[attr-defined]
    write_json(folder / CONFIG, config)
    write_bytes(folder / GENERATOR, save(generator.state_dict()))
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def sample_images(step: int) -> np.ndarray:
    """Nine of three channels: in a grid of eight columns the last begins the second row."""
    images = np.full((9, 3, 5, 5), step, np.uint8)
    images[8] = np.array([7, 8, 9])[:, None, None]
    return images


def log_training(tracking: Tracking, folder: Path) -> None:
    parameters = {"network": {"name": "mlp", "widths": [1, 2]}, "seed": 0, "checkpoint": "last"}
    with EventLog(tracking, "x") as event_log:
        event_log.begin_run("x", parameters)
        event_log.dataset("data/processed/train", 55000, "0123456789abcdef" * 4)
        for step in (10, 20):
            event_log.metrics(step, {"generator_loss": step / 10})
            event_log.images("samples", step, sample_images(step))
        event_log.model(model_files(folder), HASH)


def exporters() -> list[int]:
    """Process ids of the exporters that serve this test's repository."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (process / "environ").read_bytes().split(b"\0")
            if b"stages.tracking.exporter" in (process / "cmdline").read_bytes() and (
                f"DVC_ROOT={os.environ['DVC_ROOT']}".encode() in variables
            ):
                found.append(int(process.name))
    return found
