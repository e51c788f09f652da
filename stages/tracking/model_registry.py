"""MLflow's registry: one registered model per variant, and `reprogan`, whose champion is the best generator."""

from collections.abc import Mapping
from typing import Any

import mlflow
from mlflow.entities import LoggedModel, LoggedModelStatus, Metric, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient

from stages.tracking.run_names import REAL, SERVED_TAG, VARIANT_TAG
from stages.tracking.store import store_lock

BEST = "reprogan"  # the registered model of the best generator
PREFIX = f"{BEST}-"  # in the name of a variant's registered model
CHAMPION = "champion"  # the alias
WEIGHTS_TAG = "weights_sha256"  # of a version
MODEL_ADDRESS = "models:/"  # before the id of a logged model, in the source of a version
SHOWN = ("fid", "validation_fid")  # scores that are tags of a version


def find_models(client: MlflowClient, run: Run, weights: str) -> list[LoggedModel]:
    """The models with these weights that a run logged, complete or not, the newest first.

    A model without a hash was logged by an older version of this code, or its upload was interrupted.
    """
    query = f"source_run_id = '{run.info.run_id}'"
    newest_first = [{"field_name": "creation_timestamp", "ascending": False}]
    found = client.search_logged_models([run.info.experiment_id], query, order_by=newest_first)
    return [model for model in found if model.tags.get(SERVED_TAG, run.data.tags.get(SERVED_TAG, weights)) == weights]


def find_model(client: MlflowClient, run: Run, weights: str = "") -> LoggedModel | None:
    """The newest complete model with these weights (default: those that were scored), as the database has it."""
    found = find_models(client, run, weights or run.data.tags.get(SERVED_TAG, ""))
    return next((model for model in found if model.status == LoggedModelStatus.READY), None)


def has_files(client: MlflowClient, model_id: str) -> bool:
    """Whether a model and its files still exist: files are stored apart from MLflow's database."""
    try:
        client.get_logged_model(model_id)  # or a process that listed them before would list those of a deleted model
        return bool(client.list_logged_model_artifacts(model_id))
    except mlflow.MlflowException as error:
        if error.error_code not in map(ErrorCode.Name, (RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE)):
            raise
        return False


def find_version(client: MlflowClient, name: str, weights: str | None, there: LoggedModel) -> ModelVersion | None:
    """The version with these weights in a registered model; None if its model was deleted. `there` surely exists."""
    versions = client.search_model_versions(f"name = '{name}'")
    found = (version for version in versions if version.tags.get(WEIGHTS_TAG) == weights)
    sources = ((version, str(version.source).removeprefix(MODEL_ADDRESS)) for version in found)
    return next((one for one, source in sources if source == there.model_id or has_files(client, source)), None)


def register(
    client: MlflowClient, name: str, run: Run, model: LoggedModel, scores: Mapping[str, float]
) -> ModelVersion:
    """The version with these weights, which have these scores, in a registered model; both are created if missing."""
    weights = run.data.tags[SERVED_TAG]
    with store_lock():
        if found := find_version(client, name, weights, there=model):
            return found
        tags = {"variant": run.data.tags[VARIANT_TAG], WEIGHTS_TAG: weights, **score_tags(scores)}
        return mlflow.register_model(f"{MODEL_ADDRESS}{model.model_id}", name, await_registration_for=None, tags=tags)


def log_scores(client: MlflowClient, run_id: str, event: dict[str, Any], *, has_model: bool) -> None:
    """Record scores where MLflow's pages look for them. A later evaluation replaces an earlier one.

    What real images reach is recorded as tags: parameters of a run cannot change, and a metric would be drawn. Without
    the model that was scored, the scores are those of the run alone.
    """
    run, scores = client.get_run(run_id), event["scores"]
    model = find_model(client, run) if has_model else None
    owner = model.model_id if model else None
    latest = {key: find_latest(client, run_id, key) for key in scores}
    places = {key: place(latest[key], event["step"], value, event["time"]) for key, value in scores.items()}
    metrics = [Metric(key, scores[key], time, step, model_id=owner) for key, (step, time) in places.items()]
    is_late = any(point is not None and point.timestamp > event["time"] for point in latest.values())
    tags = [RunTag(f"{REAL}{key}", f"{value:.6g}") for key, value in event["real"].items()]
    client.log_batch(run_id, metrics=metrics, tags=[] if is_late else tags)
    if has_model and not is_late:
        tag_scores(client, run, scores)


def find_latest(client: MlflowClient, run_id: str, key: str) -> Metric | None:
    """The point that MLflow shows as the score of a run."""
    history = client.get_metric_history(run_id, key)
    return max(history, key=lambda point: (point.step, point.timestamp), default=None)


def place(latest: Metric | None, step: int, value: float, time: int) -> tuple[int, int]:
    """The step and the time to record a score with, so that the last evaluation is what MLflow shows.

    The best checkpoint may be an earlier one than before, and MLflow shows the largest step. The same score adds no
    second point.
    """
    if latest is None:
        return step, time
    step = max(step, latest.step)
    return step, latest.timestamp if (latest.step, latest.value) == (step, value) else time


def tag_scores(client: MlflowClient, run: Run, scores: Mapping[str, float]) -> None:
    """Add scores to the versions of a run's model."""
    names = (BEST, PREFIX + run.data.tags[VARIANT_TAG])
    for version in (version for name in names for version in client.search_model_versions(f"name = '{name}'")):
        if version.tags.get(WEIGHTS_TAG) == run.data.tags.get(SERVED_TAG):
            for key, text in score_tags(scores).items():
                client.set_model_version_tag(version.name, version.version, key, text)


def set_champion(client: MlflowClient, run: Run, model: LoggedModel) -> None:
    """Point the alias at the version of a run's model."""
    client.set_registered_model_alias(BEST, CHAMPION, register(client, BEST, run, model, run.data.metrics).version)


def score_tags(metrics: Mapping[str, float]) -> dict[str, str]:
    """The scores in SHOWN that the metrics have, as tags of a version."""
    return {key: f"{metrics[name]:.6g}" for key in SHOWN if (name := f"scores/{key}") in metrics}
