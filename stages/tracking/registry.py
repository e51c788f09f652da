"""MLflow's registry: one registered model a variant, and `reprogan`, whose champion is the best generator."""

from collections.abc import Mapping

import mlflow
from mlflow.entities import LoggedModel, LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from stages.tracking.run_names import SERVED_TAG, VARIANT_TAG
from stages.tracking.store import store_lock

BEST = "reprogan"  # the registered model of the best generator
PREFIX = f"{BEST}-"  # of the registered model of a variant
CHAMPION = "champion"  # the alias
WEIGHTS = "weights_sha256"  # tag of a version
SHOWN = ("fid", "validation_fid")  # scores that are tags of a version


def find_model(client: MlflowClient, run: Run) -> LoggedModel | None:
    """The model that a run logged last: the one that is sampled from and scored."""
    query = f"source_run_id = '{run.info.run_id}'"
    newest_first = [{"field_name": "creation_timestamp", "ascending": False}]
    found = client.search_logged_models([run.info.experiment_id], query, order_by=newest_first)
    return next((model for model in found if model.status == LoggedModelStatus.READY), None)


def register(client: MlflowClient, name: str, run: Run, model: LoggedModel) -> ModelVersion:
    """The version of these weights in a registered model; made, and the registered model too, where it is missing."""
    weights = run.data.tags[SERVED_TAG]
    with store_lock():
        versions = client.search_model_versions(f"name = '{name}'")
        if found := next((version for version in versions if version.tags.get(WEIGHTS) == weights), None):
            return found
        tags = {"variant": run.data.tags[VARIANT_TAG], WEIGHTS: weights, **score_tags(run)}
        return mlflow.register_model(f"models:/{model.model_id}", name, await_registration_for=None, tags=tags)


def tag_scores(client: MlflowClient, run: Run, scores: Mapping[str, float]) -> None:
    """Add scores to the versions of a run's model."""
    names = (BEST, PREFIX + run.data.tags[VARIANT_TAG])
    for version in (version for name in names for version in client.search_model_versions(f"name = '{name}'")):
        if version.tags.get(WEIGHTS) == run.data.tags.get(SERVED_TAG):
            for key in SHOWN:
                if (value := scores.get(f"scores/{key}")) is not None:
                    client.set_model_version_tag(version.name, version.version, key, f"{value:.6g}")


def set_champion(client: MlflowClient, run: Run, model: LoggedModel) -> None:
    """Point the alias at the version of a run's model."""
    client.set_registered_model_alias(BEST, CHAMPION, register(client, BEST, run, model).version)


def score_tags(run: Run) -> dict[str, str]:
    """Scores that a run has already."""
    found = {key: run.data.metrics.get(f"scores/{key}") for key in SHOWN}
    return {key: f"{value:.6g}" for key, value in found.items() if value is not None}
