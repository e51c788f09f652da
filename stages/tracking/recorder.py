"""Record journals in MLflow: `serve` while stages write them, `sync` for those left behind.

The store is MLFLOW_TRACKING_URI, else mlflow.db and mlartifacts/ in the repository.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# a server that is away is given up soon: the journal is the better retry
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

import mlflow
from filelock import FileLock, Timeout
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.tracking import MlflowClient

from stages.support.files import one_line, read_array, repository, sha256
from stages.tracking.journal import (
    EVENTS,
    FAILURE,
    LOCK,
    POLL_SECONDS,
    is_free,
    journals,
    recorder_lock,
)

IDLE_SECONDS = 30  # without a journal, until a recorder ends
LIVE_SECONDS = 5  # between two recordings of what a stage is still writing: few large ones take it less time
BORDERS = ("store", "run", "join", "end")  # events between which all others belong to one run
RECORDING = "recording"  # a lock: held by who records a journal
LONGEST_PARAM = 6000  # characters, MLflow's limit
LONGEST_DIGEST = 36  # characters, MLflow's limit
PARAMS_A_BATCH = 100  # MLflow's limit
METRICS_A_BATCH = 1000  # MLflow's limit
MODEL_TAG = "reprogan.model_sha256"  # of the weights as trained: it names the run
SERVED_TAG = "reprogan.served_sha256"  # of the weights that the logged model draws with: the best checkpoint's, say


class Recording:
    """Turns one journal's events into calls of MLflow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client: MlflowClient
        self.experiment_id = ""
        self.run_id: str | None = None
        self.run_name = ""
        self.joined = False  # whether the run was there before, and its status is not ours to set

    def apply(self, events: list[dict[str, Any]]) -> None:
        """Record events in order, but a run's metrics first and together: a call takes as long as that of an image."""
        for is_border, group in itertools.groupby(events, lambda event: event["event"] in BORDERS):
            if is_border:
                for event in group:
                    getattr(self, f"_on_{event['event']}")(event)
            elif self.run_id is not None:
                within = list(group)
                self._log_metrics(self.run_id, [event for event in within if event["event"] == "metrics"])
                for event in within:
                    if event["event"] != "metrics":
                        getattr(self, f"_on_{event['event']}")(self.run_id, event)

    def _on_store(self, event: dict[str, Any]) -> None:
        self.client, self.experiment_id = open_store(event["experiment"])
        self._forget_partial_run()

    def _on_run(self, event: dict[str, Any]) -> None:
        self._create(event, event["parameters"], event["tags"])

    def _on_join(self, event: dict[str, Any]) -> None:
        if self.run_id is not None:
            self._on_end({"status": "FINISHED", "time": event["time"]})
        self.run_id, self.joined = None, False
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.`{MODEL_TAG}` = '{event['model_sha256']}' and params.checkpoint = '{event['checkpoint']}'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        if event["parameters"] is None:
            if found:
                self.run_id, self.run_name, self.joined = found[0].info.run_id, event["name"], True
        elif not found:
            tags = {"reprogan.variant": event["name"], "reprogan.restored": "true", MODEL_TAG: event["model_sha256"]}
            self._create(event, event["parameters"], tags)

    def _create(self, event: dict[str, Any], parameters: dict[str, Any], tags: dict[str, str]) -> None:
        run = self.client.create_run(self.experiment_id, event["time"], tags, run_name=event["name"])
        self.run_id, self.run_name = run.info.run_id, event["name"]
        (self.folder / "run_id").write_text(self.run_id)
        params = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in parameters.items()]
        for start in range(0, len(params), PARAMS_A_BATCH):
            self.client.log_batch(self.run_id, params=params[start : start + PARAMS_A_BATCH])

    def _log_metrics(self, run_id: str, events: list[dict[str, Any]]) -> None:
        metrics = [
            Metric(key, value, event["time"], event["step"])
            for event in events
            for key, value in event["values"].items()
        ]
        for start in range(0, len(metrics), METRICS_A_BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_BATCH])

    def _on_image(self, run_id: str, event: dict[str, Any]) -> None:
        from stages.support.images import grid  # brings torch, which most journals can do without

        picture = grid(read_array(self.folder / event["file"]), columns=8, scale=1)
        self.client.log_image(run_id, picture, key=event["name"], step=event["step"])

    def _on_dataset(self, run_id: str, event: dict[str, Any]) -> None:
        dataset = Dataset(
            name=event["path"],
            digest=event["digest"][:LONGEST_DIGEST],
            source_type="dvc",
            source=json.dumps({"path": event["path"]}),
            profile=json.dumps({"num_rows": event["rows"]}),
        )
        tags = [InputTag("mlflow.data.context", "training")]
        self.client.log_inputs(run_id, [DatasetInput(dataset, tags)])

    def _on_model(self, run_id: str, event: dict[str, Any]) -> None:
        from stages.tracking.served_model import log_model

        served = sha256(self.folder / event["folder"] / "generator.safetensors")
        if self.client.get_run(run_id).data.tags.get(SERVED_TAG) == served:
            return  # scored again: the run has this model
        with mlflow.start_run(run_id=run_id, log_system_metrics=False):
            log_model(self.run_name, self.folder / event["folder"], event["image_shape"])
        self.client.set_tag(run_id, SERVED_TAG, served)
        self.client.set_tag(run_id, MODEL_TAG, event["sha256"])

    def _forget_partial_run(self) -> None:
        """Delete the run that an earlier, broken-off recording of this journal left behind."""
        marker = self.folder / "run_id"
        if marker.exists():
            with contextlib.suppress(mlflow.MlflowException):
                self.client.delete_run(marker.read_text())

    def _on_end(self, event: dict[str, Any]) -> None:
        if self.run_id is not None and not self.joined:
            self.client.set_terminated(self.run_id, event["status"], event["time"])


def open_store(experiment: str) -> tuple[MlflowClient, str]:
    """A client of the store, and the experiment's id; both are made where they are missing."""
    uri = store_uri()
    mlflow.set_tracking_uri(uri)
    (repository() / ".cache").mkdir(exist_ok=True)
    # two first runs at once would both create the tables, or the experiment
    with FileLock(repository() / ".cache" / "mlflow.lock"):
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        if found:
            return client, found.experiment_id
        # a place of our own for a store of our own; a server decides for itself
        location = (repository() / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
        kind = {"mlflow.experimentKind": "custom_model_development"}  # the UI then shows training first
        return client, client.create_experiment(experiment, artifact_location=location, tags=kind)


def store_uri() -> str:
    """MLFLOW_TRACKING_URI, else the repository's own; a relative SQLite path starts at the repository."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    scheme, path = uri.split(":///", 1) if ":///" in uri else ("", "")
    return f"sqlite:///{repository() / path}" if scheme == "sqlite" else uri


class Follower:
    """Records one journal as it grows, up to its end or its stage's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = FileLock(folder / RECORDING)
        self.lock.acquire(timeout=0)
        self.recording = Recording(folder)
        self.position = 0
        self.waiting: list[dict[str, Any]] = []  # events read, and not recorded yet
        self.due = 0.0  # when to record them, unless the journal ends before

    def advance(self) -> bool:
        """Record what is new; return whether the journal is over, and gone. Raises whatever MLflow raises."""
        is_orphan = is_free(self.folder / LOCK)  # asked before reading: nothing is written after
        with (self.folder / EVENTS).open("rb") as file:
            file.seek(self.position)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]  # a line may be half written
        self.position += len(whole)
        self.waiting += [json.loads(line) for line in whole.splitlines()]
        ended = bool(self.waiting) and self.waiting[-1]["event"] == "end"
        if is_orphan and not ended:
            died = (self.folder / EVENTS).stat().st_mtime
            self.waiting.append({"event": "end", "status": "KILLED", "time": int(died * 1000)})
        if not (ended or is_orphan or (self.waiting and time.monotonic() >= self.due)):
            return False
        self.recording.apply(self.waiting)
        self.waiting = []
        if ended or is_orphan:
            shutil.rmtree(self.folder)
            return True
        self.due = time.monotonic() + LIVE_SECONDS
        return False


def serve(key: str) -> None:
    """Record the journals of one key until there has been none for a while; return where another does."""
    os.nice(10)  # trainings first
    # a stage that asks whether anyone serves holds the lock for a moment
    with contextlib.suppress(Timeout), FileLock(recorder_lock(key), timeout=1):
        followers: dict[Path, Follower] = {}
        last = time.monotonic()
        while time.monotonic() - last < IDLE_SECONDS and journals().exists():
            for folder in sorted(path.parent for path in journals().glob(f"*.{key}/{EVENTS}")):
                if not (folder / FAILURE).exists() and _advance(folder, followers):
                    last = time.monotonic()
            time.sleep(POLL_SECONDS)


def _advance(folder: Path, followers: dict[Path, Follower]) -> bool:
    """Record what is new in a journal; return whether it is ours to record."""
    try:
        if folder not in followers:
            followers[folder] = Follower(folder)
        if followers[folder].advance():
            del followers[folder]
    except Timeout:  # `sync` has it
        return False
    except Exception as error:  # a store that is away must not end the others' recording
        logging.getLogger().exception("not recorded: %s", folder.name)
        with contextlib.suppress(OSError):  # the folder may be what is missing
            (folder / FAILURE).write_text(_reason(error), encoding="utf-8")
        followers.pop(folder, None)
    return True


def sync() -> int:
    """Record every journal that was left behind, oldest first, and remove it; return how many could not be."""
    failed = 0
    for folder in sorted(path.parent for path in journals().glob(f"*/{EVENTS}")):
        if not is_free(folder / LOCK):
            print(f"left alone {folder.name}: its stage is running")
            continue
        try:
            Follower(folder).advance()
            print(f"recorded {folder.name}")
        except Timeout:
            print(f"left alone {folder.name}: it is being recorded")
        except Exception as error:
            failed += 1
            print(f"not recorded {folder.name}: {_reason(error)}", file=sys.stderr)
    return failed


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve")
    serving.add_argument("key", help="of the journals to record")
    commands.add_parser("sync")
    arguments = parser.parse_args()
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    if arguments.command == "sync":
        sys.exit(1 if sync() else 0)
    serve(arguments.key)


if __name__ == "__main__":
    main()
