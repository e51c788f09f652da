"""Turns the events of one log into calls of MLflow."""

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

from stages.storage.files import write_bytes
from stages.tracking.artifacts import Artifacts
from stages.tracking.descriptions import merge
from stages.tracking.exporter_process import EVENTS, FAILURE, event_logs, leave_notice
from stages.tracking.model_registry import find_model, log_scores, set_champion
from stages.tracking.run_names import MODEL_TAG, NOTE_TAG, PARENT_TAG
from stages.tracking.store import find_active, find_or_create_build, find_run, open_store, settle_build

BORDERS = ("store", "run", "join", "build", "end")  # all other events between two of these belong to one run
LONGEST_DIGEST = 36  # characters, MLflow's limit
RUN_ID = "run_id"  # prefix of files, each with the run that was begun for an event


def is_left_behind(model_sha256: str) -> bool:
    """Whether the log of the training that gave these weights was not exported, and waits for `sync`."""
    for failure in event_logs().glob(f"*/{FAILURE}"):
        with contextlib.suppress(OSError):
            text = (failure.parent / EVENTS).read_text(encoding="utf-8")
            if '"event": "run"' in text and f'"sha256": "{model_sha256}"' in text:
                return True
    return False


class MLflowExporter:
    """Exports one event log; raises whatever MLflow raises.

    If the artifact store fails, a run lacks only pictures and model, and `artifacts.raise_if_incomplete` raises. A log
    may be exported again: that continues the runs that it began, and adds what they lack.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.position = 0  # events that were exported
        self.run_id = ""  # none
        self.joined = False  # whether the run existed before: then its status is not set
        self.build_id = ""  # of the build that was joined, or that the run belongs to
        self.build_key = ""
        self.artifacts = Artifacts(folder)

    def apply(self, events: list[dict[str, Any]]) -> None:
        """Export events in order, but a run's metrics first, in one call: a call for each would take too long."""
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

    def _on_store(self, event: dict[str, Any]) -> None:
        self.client, self.experiment_id = open_store(event["experiment"])

    def _on_join(self, event: dict[str, Any]) -> None:
        self._on_end({"status": "FINISHED", "time": event["time"]})
        found = find_run(self.client, self.experiment_id, event["model_sha256"], event["checkpoint"])
        if not found and is_left_behind(event["model_sha256"]):
            raise RuntimeError("the log of the training waits, and comes first")
        if event["otherwise"] is not None:
            if not found or self._marker.exists():
                self._on_run({**event["otherwise"], "time": event["time"]})
                if event.get("notice"):
                    leave_notice(event["notice"])
        elif found:
            self.run_id, self.joined = found.info.run_id, True

    def _on_build(self, event: dict[str, Any]) -> None:
        self._on_end({"status": "FINISHED", "time": event["time"]})
        if event["build"]:
            self.run_id, self.joined = self._enter_build(event), True

    def _on_end(self, event: dict[str, Any]) -> None:
        if self.run_id and not self.joined:
            self.client.set_terminated(self.run_id, event["status"], event["time"])
            if self.build_id:  # which lasts as long as its runs
                ids = self.run_id, self.build_id
                self.build_id = settle_build(self.client, self.experiment_id, self.build_key, *ids)
            if self.build_id:
                self.client.set_terminated(self.build_id, "FINISHED", event["time"])
        self.run_id, self.joined = "", False

    def _on_run(self, event: dict[str, Any]) -> None:
        parent = {PARENT_TAG: self._enter_build(event)} if event.get("build") else {}
        self.run_id = find_active(self.client, self._marker.read_text()) if self._marker.exists() else ""
        if not self.run_id:  # never begun, or deleted, or in another store
            tags = event["tags"] | parent
            run = self.client.create_run(self.experiment_id, event["time"], tags, run_name=event["name"])
            self.run_id = run.info.run_id
            write_bytes(self._marker, self.run_id.encode())
        params = [Param(key, str(value)) for key, value in event["parameters"].items()]
        self.client.log_batch(self.run_id, params=params)

    def _enter_build(self, event: dict[str, Any]) -> str:
        self.build_key, name = event["build"]
        tags = {key: value for key, value in event["tags"].items() if key.startswith(("mlflow.source.", "dvc.exp"))}
        about = self.build_key, name, tags, event["time"]
        self.build_id = find_or_create_build(self.client, self.experiment_id, *about)
        return self.build_id

    @property
    def _marker(self) -> Path:
        return self.folder / f"{RUN_ID}-{self.position}"

    def _on_scores(self, event: dict[str, Any]) -> None:
        log_scores(self.client, self.run_id, event, has_model=self.artifacts.obstacle is None)

    def _on_note(self, event: dict[str, Any]) -> None:
        tags = self.client.get_run(self.run_id).data.tags
        if not event["of_build"] or tags.get(PARENT_TAG) == self.build_id:
            self.client.set_tag(self.run_id, NOTE_TAG, merge(event["text"], tags.get(NOTE_TAG, "")))

    def _on_dataset(self, event: dict[str, Any]) -> None:
        source, profile = json.dumps({"path": event["path"]}), json.dumps({"num_rows": event["rows"]})
        dataset = Dataset(event["path"], event["digest"][:LONGEST_DIGEST], "dvc", source, profile=profile)
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def _on_artifact(self, event: dict[str, Any]) -> None:
        self.artifacts.upload(self.client, self.run_id, event)

    _on_image = _on_artifact

    def _on_model(self, event: dict[str, Any]) -> None:
        self.client.set_tag(self.run_id, MODEL_TAG, event["sha256"])  # scores find the run by it, even without a model
        self.artifacts.upload(self.client, self.run_id, event)

    def _on_champion(self, event: dict[str, Any]) -> None:
        run = self.client.get_run(self.run_id)
        if model := find_model(self.client, run):
            set_champion(self.client, run, model)
