"""MLflow's store: MLFLOW_TRACKING_URI, else mlflow.db and mlartifacts/ in the repository."""

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow.entities import Experiment, LifecycleStage, Run
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient

from stages.storage.paths import repository
from stages.tracking.exporter_process import MESSAGES, leave_notice
from stages.tracking.pages import experiment_tags
from stages.tracking.run_names import BUILD_TAG, MODEL_TAG, NOTE_TAG, PARENT_TAG

SQLITE = "sqlite:///"
UNKNOWN_USER, FORBIDDEN = 401, 403  # HTTP's


class StoreFile:
    """The file of a SQLite store as it was opened: MLflow does not notice if it is deleted."""

    def __init__(self) -> None:
        self.held: int | None = None  # a descriptor: without it, a new file could get the same inode

    def hold(self) -> None:
        """Remember the current file for `is_gone`; a server has none."""
        path = Path(store_uri().removeprefix(SQLITE))
        if self.held is None and path.is_file():
            self.held = os.open(path, os.O_RDONLY)

    def is_gone(self) -> bool:
        """Whether that file was deleted, or another took its place."""
        try:
            now = Path(store_uri().removeprefix(SQLITE)).stat()
        except OSError:
            return self.held is not None
        return self.held is not None and not os.path.samestat(os.fstat(self.held), now)


STORE_FILE = StoreFile()  # one, because MLflow keeps one connection per process


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it, what MLflow prints goes to the exporters' log: people should read only the lines of a command.

    PYTHONWARNINGS=error does not turn a library's warning into an error within it.
    """
    messages = repository() / ".cache" / MESSAGES
    messages.parent.mkdir(exist_ok=True)
    with (
        messages.open("a") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
        warnings.catch_warnings(action="default"),
    ):
        yield


def store_uri() -> str:
    """MLFLOW_TRACKING_URI, else that of mlflow.db; a relative path starts at the repository."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    return f"{SQLITE}{repository() / uri.removeprefix(SQLITE)}" if uri.startswith(SQLITE) else uri


def store_lock() -> FileLock:
    """Held to look for something in the store and create it if it is missing: another process may do the same."""
    (repository() / ".cache").mkdir(exist_ok=True)
    return FileLock(repository() / ".cache" / "mlflow.lock")


def open_store(experiment: str) -> tuple[MlflowClient, str]:
    """A client of the store, and the experiment's id; both are created if they are missing.

    A deleted experiment is restored: it accepts no runs, and MLflow keeps its name reserved.
    """
    uri, tags = store_uri(), experiment_tags()
    if "://" not in uri and not uri.startswith("databricks"):  # MLflow would take it for a folder
        raise ValueError(f"MLFLOW_TRACKING_URI: {uri!r}: expected an address, such as http://127.0.0.1:5000")
    mlflow.set_tracking_uri(uri)
    mlflow.config.enable_async_logging(enable=False)  # or a call would not say that it failed
    with store_lock():  # two first runs at once would both create the tables, or the experiment
        client = MlflowClient(uri)
        STORE_FILE.hold()
        if found := client.get_experiment_by_name(experiment):
            if found.lifecycle_stage == LifecycleStage.DELETED:
                restore_experiment(client, found)
                leave_notice(f"the experiment {experiment!r} was deleted in MLflow: restored, with all its runs")
            for key, value in tags.items():  # an older store lacks some; its description may be a person's own
                if found.tags.get(key) != value and not (key == NOTE_TAG and found.tags.get(key)):
                    client.set_experiment_tag(found.experiment_id, key, value)
            return client, found.experiment_id
        # a local store keeps artifacts in the repository; a server decides for itself
        location = (repository() / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
        return client, create_experiment(client, experiment, location, tags)


def restore_experiment(client: MlflowClient, deleted: Experiment) -> None:
    """Restore a deleted experiment; raises PermissionError if this user may not."""
    try:
        client.restore_experiment(deleted.experiment_id)
    except mlflow.MlflowException as error:
        if error.get_http_status_code() != FORBIDDEN:
            raise
        raise PermissionError(
            f"the experiment {deleted.name!r} was deleted, and this user may not restore it: ask an administrator to "
            "restore it, or change tracking.experiment"
        ) from None


def create_experiment(client: MlflowClient, name: str, location: str | None, tags: dict[str, Any]) -> str:
    """The id of a new experiment, or of the one that another machine, which has its own lock, created just now."""
    try:
        return client.create_experiment(name, artifact_location=location, tags=tags)
    except mlflow.MlflowException as error:
        found = client.get_experiment_by_name(name)
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS) or not found:
            raise
        return str(found.experiment_id)


def find_run(client: MlflowClient, experiment_id: str, model_sha256: str, checkpoint: str) -> Run | None:
    """The latest run that trained the model with that hash, under that rule for checkpoints (last or best)."""
    query = f"tags.`{MODEL_TAG}` = '{model_sha256}' and params.checkpoint = '{checkpoint}'"
    found = client.search_runs([experiment_id], query, order_by=["attributes.start_time DESC"], max_results=1)
    return found[0] if found else None


def find_or_create_build(
    client: MlflowClient, experiment_id: str, key: str, name: str, tags: Mapping[str, str], time: int
) -> str:
    """The id of the parent of a build's runs. It always counts as finished: nobody knows whether more will come."""
    with store_lock():
        if found := find_build_run(client, experiment_id, key):
            return found
        run = client.create_run(experiment_id, time, {**tags, BUILD_TAG: key}, run_name=name)
        client.set_terminated(run.info.run_id, "FINISHED", time)
        return str(run.info.run_id)


def find_build_run(client: MlflowClient, experiment_id: str, key: str) -> str:
    """The id of a build's parent run, the first if there are several; empty if there is none."""
    found = client.search_runs(
        [experiment_id], f"tags.`{BUILD_TAG}` = '{key}'", order_by=["attributes.start_time ASC"], max_results=1
    )
    return str(found[0].info.run_id) if found else ""


def settle_build(client: MlflowClient, experiment_id: str, key: str, run_id: str, parent_id: str) -> str:
    """The parent that a run has in the end: machines share no lock, so several may create one at once.

    All runs then move to the first parent. The last run to leave another parent removes it.
    """
    first = find_build_run(client, experiment_id, key)
    if first in ("", parent_id):
        return first
    client.set_tag(run_id, PARENT_TAG, first)
    if not client.search_runs([experiment_id], f"tags.`{PARENT_TAG}` = '{parent_id}'", max_results=1):
        with contextlib.suppress(mlflow.MlflowException):  # a user who may not delete leaves an empty run
            client.delete_run(parent_id)
    return first


def find_active(client: MlflowClient, run_id: str) -> str:
    """The id of a run that is in this store and was not deleted; empty for any other."""
    try:
        run = client.get_run(run_id)
    except mlflow.MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return ""
    return str(run.info.run_id) if run.info.lifecycle_stage == LifecycleStage.ACTIVE else ""
