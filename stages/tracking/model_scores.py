"""Final scores in MLflow: of a run, of the model that it logged, and of that model's versions in the registry."""

from typing import Any

from mlflow.entities import Metric, RunTag
from mlflow.tracking import MlflowClient

from stages.tracking.model_registry import find_model, tag_scores
from stages.tracking.run_names import REAL


def log_scores(client: MlflowClient, run_id: str, event: dict[str, Any]) -> None:
    """Record scores where MLflow's pages look for them. A later evaluation's take the place of an earlier one's.

    What real images reach belongs to tags: parameters of a run cannot change, and a metric would be drawn.
    """
    run, scores, step = client.get_run(run_id), event["scores"], event["step"]
    model = find_model(client, run)
    times = {key: find_time(client, run_id, key, step, value) or event["time"] for key, value in scores.items()}
    owner = model.model_id if model else None
    metrics = [Metric(key, value, times[key], step, model_id=owner) for key, value in scores.items()]
    tags = [RunTag(f"{REAL}{key}", f"{value:.6g}") for key, value in event["real"].items()]
    client.log_batch(run_id, metrics=metrics, tags=tags)
    tag_scores(client, run, scores)


def find_time(client: MlflowClient, run_id: str, key: str, step: int, value: float) -> int | None:
    """When the same score was recorded, if it is the latest: at that time it is the same point, and there once."""
    history = client.get_metric_history(run_id, key)
    latest = max(history, key=lambda point: (point.step, point.timestamp), default=None)
    return latest.timestamp if latest and (latest.step, latest.value) == (step, value) else None
