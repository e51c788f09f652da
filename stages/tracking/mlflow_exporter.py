"""Turns the events of one log into calls of MLflow.

The store is MLFLOW_TRACKING_URI, else mlflow.db and mlartifacts/ in the repository.
"""

import contextlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# a server that is away is given up soon: the event log is the better retry
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

import mlflow
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.tracking import MlflowClient
from safetensors.numpy import load_file

from stages.storage.files import one_line, sha256
from stages.storage.images import grid
from stages.storage.paths import GENERATOR, repository
from stages.tracking.run_names import MODEL_TAG, SERVED_TAG

BORDERS = ("store", "run", "join", "end")  # events between which all others belong to one run
LONGEST_DIGEST = 36  # characters, MLflow's limit
ARTIFACTS = ("image", "model")  # events that store files
RUN_ID = "run_id"  # a file: the run that was made for this log
INCOMPLETE = "incomplete.json"  # the runs that were made, and how many artifacts were stored before one could not be


class IncompleteError(Exception):
    """All was recorded but some artifacts: a second export of the same log stores those, in the same runs."""


class MLflowExporter:
    """Exports one event log; raises IncompleteError at its end, or whatever MLflow raises."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[str] = []  # made for this log
        self.artifacts = 0  # events met
        self.stored = 0  # of them, by an earlier export
        self.obstacle = ""  # why artifacts cannot be stored
        self.earlier: list[str] = []  # runs of an earlier export, which lack artifacts and nothing else
        self.run_id = ""  # none
        self.joined = False  # whether the run was there before, and its status is not ours to set

    def apply(self, events: list[dict[str, Any]]) -> None:
        """Export events in order, but a run's metrics first and together: a call takes as long as that of an image."""
        for is_border, group in itertools.groupby(events, lambda event: event["event"] in BORDERS):
            within = list(group)
            if self.run_id and not is_border and not self.earlier:
                values = [(event, *item) for event in within for item in event.get("values", {}).items()]
                metrics = [Metric(key, value, event["time"], event["step"]) for event, key, value in values]
                self.client.log_batch(self.run_id, metrics=metrics)
            for event in within:
                if self.run_id and event["event"] in ARTIFACTS:
                    self._store(event)
                elif is_border or (self.run_id and event["event"] != "metrics" and not self.earlier):
                    getattr(self, f"_on_{event['event']}")(event)

    def _store(self, event: dict[str, Any]) -> None:
        """Store an artifact; once one cannot be, the others are left to a later export."""
        if event["event"] == "model":
            self.client.set_tag(self.run_id, MODEL_TAG, event["sha256"])  # its scores find the run in any case
        self.artifacts += 1
        if self.obstacle or self.artifacts <= self.stored:
            return
        try:
            getattr(self, f"_on_{event['event']}")(event)
        except Exception as error:  # the store answers, and where it keeps files is away
            self.obstacle = f"{type(error).__name__}: {one_line(error)}"
            about = {"runs": self.runs, "artifacts": self.artifacts - 1}
            (self.folder / INCOMPLETE).write_text(json.dumps(about))

    def _on_store(self, event: dict[str, Any]) -> None:
        self.client, self.experiment_id = open_store(event["experiment"])
        marker, incomplete = self.folder / RUN_ID, self.folder / INCOMPLETE
        if incomplete.exists():
            about = json.loads(incomplete.read_text())
            self.earlier, self.stored = about["runs"], about["artifacts"]
        elif marker.exists():  # an earlier export was broken off
            with contextlib.suppress(mlflow.MlflowException):
                self.client.delete_run(marker.read_text())

    def _on_join(self, event: dict[str, Any]) -> None:
        self._on_end({"status": "FINISHED", "time": event["time"]})
        query = f"tags.`{MODEL_TAG}` = '{event['model_sha256']}' and params.checkpoint = '{event['checkpoint']}'"
        latest_first = ["attributes.start_time DESC"]
        found = self.client.search_runs([self.experiment_id], query, order_by=latest_first, max_results=1)
        if found and event["otherwise"] is None:
            self.run_id, self.joined = found[0].info.run_id, True
        elif event["otherwise"] is not None and (not found or found[0].info.run_id in self.earlier):
            self._on_run({**event["otherwise"], "time": event["time"]})

    def _on_end(self, event: dict[str, Any]) -> None:
        if self.run_id and not self.joined:
            self.client.set_terminated(self.run_id, event["status"], event["time"])
        self.run_id, self.joined = "", False
        if self.obstacle and event.get("event") == "end":
            raise IncompleteError(f"pictures and model are missing: {self.obstacle}")

    def _on_run(self, event: dict[str, Any]) -> None:
        if len(self.runs) < len(self.earlier):
            self.run_id = self.earlier[len(self.runs)]
            self.runs.append(self.run_id)
            return
        run = self.client.create_run(self.experiment_id, event["time"], event["tags"], run_name=event["name"])
        self.run_id = run.info.run_id
        self.runs.append(self.run_id)
        (self.folder / RUN_ID).write_text(self.run_id)
        params = [Param(key, str(value)) for key, value in event["parameters"].items()]
        self.client.log_batch(self.run_id, params=params)

    def _on_image(self, event: dict[str, Any]) -> None:
        picture = grid(load_file(self.folder / event["file"])["images"], columns=8, scale=1)
        self.client.log_image(self.run_id, picture, key=event["name"], step=event["step"])

    def _on_dataset(self, event: dict[str, Any]) -> None:
        source, profile = json.dumps({"path": event["path"]}), json.dumps({"num_rows": event["rows"]})
        dataset = Dataset(event["path"], event["digest"][:LONGEST_DIGEST], "dvc", source, profile=profile)
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def _on_model(self, event: dict[str, Any]) -> None:
        from stages.tracking.served_model import log_model  # imports torch, which most logs do without

        folder = self.folder / event["folder"]
        served = sha256(folder / GENERATOR)
        run = self.client.get_run(self.run_id)
        if run.data.tags.get(SERVED_TAG) == served:
            return  # scored again: the run has this model
        with mlflow.start_run(run_id=self.run_id, log_system_metrics=False):
            log_model(run.info.run_name, folder, tuple(event["image_shape"]))
        self.client.set_tag(self.run_id, SERVED_TAG, served)


def open_store(experiment: str) -> tuple[MlflowClient, str]:
    """A client of the store, and the experiment's id; both are made where they are missing."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if uri.startswith("sqlite:///"):  # a relative path starts at the repository
        uri = f"sqlite:///{repository() / uri.removeprefix('sqlite:///')}"
    mlflow.set_tracking_uri(uri)
    # two first runs at once would both create the tables, or the experiment
    with FileLock(repository() / ".cache" / "mlflow.lock"):
        client = MlflowClient(uri)
        if found := client.get_experiment_by_name(experiment):
            if found.lifecycle_stage == "deleted":  # in the UI: what is recorded now is wanted
                client.restore_experiment(found.experiment_id)
            return client, found.experiment_id
        # a place of our own for a store of our own; a server decides for itself
        location = (repository() / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # the UI then shows training first
        return client, client.create_experiment(experiment, artifact_location=location, tags=kind)
