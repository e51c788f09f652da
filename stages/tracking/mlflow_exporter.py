"""Turns the events of one log into calls of MLflow.

The store is MLFLOW_TRACKING_URI, else mlflow.db and mlartifacts/ in the repository.
"""

import contextlib
import itertools
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# a server that is away is given up soon: the event log is the better retry
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

import mlflow
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param, Run
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient
from safetensors.numpy import load_file

from stages.storage.files import one_line, sha256, write_bytes
from stages.storage.images import grid
from stages.storage.paths import GENERATOR, repository
from stages.tracking.exporter_process import MESSAGES, leave_notice
from stages.tracking.run_names import MODEL_TAG, SERVED_TAG

BORDERS = ("store", "run", "join", "end")  # events between which all others belong to one run
LONGEST_DIGEST = 36  # characters, MLflow's limit
SQLITE = "sqlite:///"
RUN_ID = "run_id"  # begins names of files: the run that was begun for an event of this log


class ArtifactError(Exception):
    """All of a log is in MLflow but what goes to its artifact store."""


class StoreFile:
    """The file of a SQLite store, from when it was opened: MLflow does not notice that it is deleted."""

    def __init__(self) -> None:
        self.held: BinaryIO | None = None  # open, or its inode could be given to the file that takes its place

    def hold(self) -> None:
        """From now on, `is_gone` speaks of the file that is there; a server has none."""
        path = Path(store_uri().removeprefix(SQLITE))
        if not self.held and path.is_file():
            self.held = path.open("rb")

    def is_gone(self) -> bool:
        """Whether that file was deleted, or another took its place."""
        try:
            now = Path(store_uri().removeprefix(SQLITE)).stat()
        except OSError:
            return self.held is not None
        return self.held is not None and not os.path.samestat(os.fstat(self.held.fileno()), now)


STORE_FILE = StoreFile()  # one, as MLflow too keeps one connection a process


class MLflowExporter:
    """Exports one event log; raises whatever MLflow raises.

    An artifact store that is away costs a run its pictures and its model alone, until `raise_if_incomplete`.
    A log may be exported again: it goes on in the runs that it began, and adds what they lack.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.position = 0  # events that were exported
        self.run_id = ""  # none
        self.joined = False  # whether the run was there before, and its status is not ours to set
        self.pictures: set[str] | None = None  # that the run has; None: not known yet
        self.obstacle: Exception | None = None  # to artifacts

    def apply(self, events: list[dict[str, Any]]) -> None:
        """Export events in order, but a run's metrics first and together: a call takes as long as that of an image."""
        for is_border, group in itertools.groupby(events, lambda event: event["event"] in BORDERS):
            within = list(group)
            if self.run_id and not is_border:
                values = [(event, *item) for event in within for item in event.get("values", {}).items()]
                metrics = [Metric(key, value, event["time"], event["step"]) for event, key, value in values]
                self.client.log_batch(self.run_id, metrics=metrics)
            for event in within:
                self.position += 1
                if is_border or (self.run_id and event["event"] != "metrics"):
                    getattr(self, f"_on_{event['event']}")(event)

    def raise_if_incomplete(self) -> None:
        """Raise ArtifactError where pictures or a model could not be stored."""
        if self.obstacle:
            reason = f"{type(self.obstacle).__name__}: {one_line(self.obstacle)}"
            raise ArtifactError(f"pictures and model are missing: {reason}") from self.obstacle

    def _on_store(self, event: dict[str, Any]) -> None:
        self.client, self.experiment_id = open_store(event["experiment"])

    def _on_join(self, event: dict[str, Any]) -> None:
        self._on_end({"status": "FINISHED", "time": event["time"]})
        found = find_run(self.client, self.experiment_id, event["model_sha256"], event["checkpoint"])
        if event["otherwise"] is not None:
            if not found or self._marker.exists():
                self._on_run({**event["otherwise"], "time": event["time"]})
                if event.get("notice"):
                    leave_notice(event["notice"])
        elif found:
            self.run_id, self.joined, self.pictures = found.info.run_id, True, None

    def _on_end(self, event: dict[str, Any]) -> None:
        if self.run_id and not self.joined:
            self.client.set_terminated(self.run_id, event["status"], event["time"])
        self.run_id, self.joined = "", False

    def _on_run(self, event: dict[str, Any]) -> None:
        self.run_id, self.pictures = self._find_begun(), None
        if not self.run_id:
            run = self.client.create_run(self.experiment_id, event["time"], event["tags"], run_name=event["name"])
            self.run_id, self.pictures = run.info.run_id, set()
            write_bytes(self._marker, self.run_id.encode())
        params = [Param(key, str(value)) for key, value in event["parameters"].items()]
        self.client.log_batch(self.run_id, params=params)

    @property
    def _marker(self) -> Path:
        return self.folder / f"{RUN_ID}-{self.position}"

    def _find_begun(self) -> str:
        """The run that an earlier export began for this event, if it is still there."""
        if not self._marker.exists():
            return ""
        try:
            run = self.client.get_run(self._marker.read_text())
        except mlflow.MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise
            return ""  # another store now
        return str(run.info.run_id) if run.info.lifecycle_stage == LifecycleStage.ACTIVE else ""

    def _upload(self, upload: Callable[[dict[str, Any]], None], event: dict[str, Any]) -> None:
        """Fill the artifact store; where that fails, with nothing more of this log: each try may take its time."""
        if self.obstacle:
            return
        try:
            upload(event)
        except Exception as error:  # each kind of store raises its own
            logging.getLogger().exception("not stored: %s of %s", event["event"], self.folder.name)
            self.obstacle = error

    def _on_image(self, event: dict[str, Any]) -> None:
        self._upload(self._upload_picture, event)

    def _upload_picture(self, event: dict[str, Any]) -> None:
        if self.pictures is None:
            files = self.client.list_artifacts(self.run_id, "images")
            # the .webp is the last of the two files that MLflow makes of a picture
            self.pictures = {file.path.split("+timestamp+")[0] for file in files if file.path.endswith(".webp")}
        if f"images/{event['name']}+step+{event['step']}" not in self.pictures:
            picture = grid(load_file(self.folder / event["file"])["images"], columns=8, scale=1)
            self.client.log_image(self.run_id, picture, key=event["name"], step=event["step"])

    def _on_dataset(self, event: dict[str, Any]) -> None:
        source, profile = json.dumps({"path": event["path"]}), json.dumps({"num_rows": event["rows"]})
        dataset = Dataset(event["path"], event["digest"][:LONGEST_DIGEST], "dvc", source, profile=profile)
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def _on_model(self, event: dict[str, Any]) -> None:
        self.client.set_tag(self.run_id, MODEL_TAG, event["sha256"])  # scores find the run, with a model or without
        self._upload(self._upload_model, event)

    def _upload_model(self, event: dict[str, Any]) -> None:
        from stages.tracking.served_model import log_model  # imports torch, which most logs do without

        folder = self.folder / event["folder"]
        served = sha256(folder / GENERATOR)
        run = self.client.get_run(self.run_id)
        if run.data.tags.get(SERVED_TAG) == served:
            return  # scored again: the run has this model
        log_model(self.client, run, folder, tuple(event["image_shape"]))
        self.client.set_tag(self.run_id, SERVED_TAG, served)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What MLflow prints within goes where exporters print: people read the lines of a command alone."""
    messages = repository() / ".cache" / MESSAGES
    messages.parent.mkdir(exist_ok=True)
    with messages.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


def find_run(client: MlflowClient, experiment_id: str, model_sha256: str, checkpoint: str) -> Run | None:
    """The latest run that trained the model of that hash, to choose that checkpoint (last or best)."""
    query = f"tags.`{MODEL_TAG}` = '{model_sha256}' and params.checkpoint = '{checkpoint}'"
    latest_first = ["attributes.start_time DESC"]
    found = client.search_runs([experiment_id], query, order_by=latest_first, max_results=1)
    return found[0] if found else None


def store_uri() -> str:
    """MLFLOW_TRACKING_URI, else that of mlflow.db; a relative path starts at the repository."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    return f"{SQLITE}{repository() / uri.removeprefix(SQLITE)}" if uri.startswith(SQLITE) else uri


def open_store(experiment: str) -> tuple[MlflowClient, str]:
    """A client of the store, and the experiment's id; both are made where they are missing.

    An experiment that was deleted is restored: MLflow gives its name to no other, and a deleted one takes no run.
    """
    uri = store_uri()
    mlflow.set_tracking_uri(uri)
    # two first runs at once would both create the tables, or the experiment
    with FileLock(repository() / ".cache" / "mlflow.lock"):
        client = MlflowClient(uri)
        STORE_FILE.hold()
        if found := client.get_experiment_by_name(experiment):
            if found.lifecycle_stage == LifecycleStage.DELETED:
                client.restore_experiment(found.experiment_id)
                leave_notice(f"the experiment {experiment!r} was deleted in MLflow: restored, with all its runs")
            return client, found.experiment_id
        # a place of our own for a store of our own; a server decides for itself
        location = (repository() / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # the UI then shows training first
        return client, client.create_experiment(experiment, artifact_location=location, tags=kind)
