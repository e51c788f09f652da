"""Fills the artifact store: pictures, models and files of the runs of one event log."""

import logging
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient
from safetensors.numpy import load_file

from stages.storage.files import sha256
from stages.storage.images import grid
from stages.storage.paths import GENERATOR
from stages.tracking.model_registry import PREFIX, find_model, has_files, register
from stages.tracking.run_names import SERVED_TAG, VARIANT_TAG
from stages.tracking.served_model import log_model
from stages.tracking.store_errors import explain


class ArtifactError(Exception):
    """All of a log is in MLflow, except what goes to its artifact store."""


class Artifacts:
    """Uploads the artifacts of one log. After one failure it tries no others: each might take as long."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.obstacle: Exception | None = None
        self.pictures: dict[str, set[str]] = {}  # those that are stored, by run

    def upload(self, client: MlflowClient, run_id: str, event: dict[str, Any]) -> None:
        """Store the artifact of an event, unless it is stored already."""
        if self.obstacle:
            return
        try:
            getattr(self, f"_{event['event']}")(client, run_id, event)
        except Exception as error:  # each kind of store raises its own
            logging.getLogger().exception("not stored: %s of %s", event["event"], self.folder.name)
            self.obstacle = error

    def raise_if_incomplete(self) -> None:
        """Raise ArtifactError if pictures or a model could not be stored."""
        if self.obstacle:
            raise ArtifactError(f"pictures and model are missing: {explain(self.obstacle)}") from self.obstacle

    def _image(self, client: MlflowClient, run_id: str, event: dict[str, Any]) -> None:
        if run_id not in self.pictures:
            files = client.list_artifacts(run_id, "images")
            # the .webp is the last of the two files that MLflow makes of a picture
            there = {file.path.split("+timestamp+")[0] for file in files if file.path.endswith(".webp")}
            self.pictures[run_id] = there
        file = event["name"].replace("/", "~")  # as MLflow writes it
        if f"images/{file}+step+{event['step']}" not in self.pictures[run_id]:
            picture = grid(load_file(self.folder / event["file"])["images"], columns=8, scale=1)
            client.log_image(run_id, picture, key=event["name"], step=event["step"])

    def _model(self, client: MlflowClient, run_id: str, event: dict[str, Any]) -> None:
        folder, run = self.folder / event["folder"], client.get_run(run_id)
        served = sha256(folder / GENERATOR)
        model = find_model(client, run, served)
        if not model or not has_files(client, model.model_id):  # otherwise it was scored again: the run has this model
            log_model(client, run, folder)
        scores = run.data.metrics
        if run.data.tags.get(SERVED_TAG) != served:
            client.set_tag(run_id, SERVED_TAG, served)
            run, scores = client.get_run(run_id), {}  # those that are there may be another checkpoint's
        if model := find_model(client, run):
            register(client, PREFIX + run.data.tags[VARIANT_TAG], run, model, scores)

    def _artifact(self, client: MlflowClient, run_id: str, event: dict[str, Any]) -> None:
        parent = str(Path(event["path"]).parent)
        client.log_artifact(run_id, str(self.folder / event["file"]), None if parent == "." else parent)
