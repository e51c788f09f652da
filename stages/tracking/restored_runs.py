"""Scores in MLflow: added to the run that trained a model, or to a run restored for one that came from DVC's cache.

A model is one of metrics/scores/<variant>.json; its run is found by the hash of its weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.config.params import Tracking
from stages.storage.paths import CONFIG, GENERATOR, MODELS, seed_folder
from stages.tracking.event_log import EventLog


def restore_runs(tracking: Tracking, models: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Give each model of each variant a run with its scores where MLflow knows none: its stages came from the cache."""
    with EventLog(tracking, "report") as event_log:
        for name, of_variant in models.items():
            for model in of_variant:
                run = model["run"]
                event_log.join_run(name, model["model_sha256"], run["checkpoint"], otherwise=run)
                event_log.metrics(run["variant"]["images"], flatten_scores(model["scores"]))


def record_scores(
    event_log: EventLog, name: str, model: Mapping[str, Any], curve_rows: Sequence[Any], seeds: Sequence[int]
) -> None:
    """Add a model's scores to the run that trained it, its score curve, and the checkpoint that was chosen."""
    run, checkpoint, last = model["run"], model["checkpoint"], curve_rows[-1]["images"]
    event_log.join_run(name, model["model_sha256"], run["checkpoint"])
    event_log.metrics(last, flatten_scores(model["scores"]))
    for row in curve_rows:
        event_log.metrics(row["images"], {f"snapshot_{key}": row[key] for key in ("fid", "inception_score")})
    if checkpoint["rule"] == "best":
        from stages.sampling.loading import snapshot_weights  # imports torch, which the report does without

        folder = seed_folder(MODELS / name, seeds, run["seed"])
        files = {CONFIG: (folder / CONFIG).read_bytes(), GENERATOR: snapshot_weights(folder, checkpoint["images"])}
        event_log.metrics(last, {"checkpoint_images": checkpoint["images"]})
        event_log.model(files, run["image_shape"], model["model_sha256"])


def flatten_scores(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Records of scores to numbers: the value as `fid`, the rest as `fid_ci95`, …; nested values are passed over."""
    return {
        name if key == "value" else f"{name}_{key}": number
        for name, record in scores.items()
        for key, number in record.items()
        if isinstance(number, int | float)
    }
