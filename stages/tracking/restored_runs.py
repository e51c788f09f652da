"""Scores in MLflow: added to the run that trained a model, or to a run restored for one that came from DVC's cache.

A model is one of metrics/scores/<variant>.json; its run is found by the hash of its weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.config.params import Tracking
from stages.storage.paths import CONFIG, GENERATOR, MODELS, seed_folder
from stages.tracking.event_log import EventLog

NOTICE = "MLflow did not know some models; to add their curves, pictures and models: python -m stages.tracking.restore"


def restore_runs(tracking: Tracking, models: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Give each model of each variant a run with its scores where MLflow knows none: its stages came from the cache.

    What else belongs to such a run is no dependency of the report: `stages.tracking.restore` reads and adds it.
    """
    with EventLog(tracking, "report") as event_log:
        for name, of_variant in models.items():
            for model in of_variant:
                run = model["run"]
                event_log.join_run(name, model["model_sha256"], run["checkpoint"], otherwise=run, notice=NOTICE)
                event_log.metrics(run["variant"]["images"], flatten_scores(model["scores"]))


def record_scores(
    event_log: EventLog, name: str, model: Mapping[str, Any], curve_rows: Sequence[Any], seeds: Sequence[int]
) -> None:
    """Add a model's scores to the run that trained it, its score curve, and the checkpoint that was chosen."""
    event_log.join_run(name, model["model_sha256"], model["run"]["checkpoint"])
    for step, values in score_points(model, curve_rows):
        event_log.metrics(step, values)
    record_best(event_log, name, model, seeds)


def score_points(model: Mapping[str, Any], curve_rows: Sequence[Any]) -> Iterator[tuple[int, dict[str, float]]]:
    """A model's scores, its score curve, and which checkpoint was chosen: numbers by images seen."""
    last = int(curve_rows[-1]["images"])
    yield last, flatten_scores(model["scores"])
    for row in curve_rows:
        yield int(row["images"]), {f"snapshot_{key}": row[key] for key in ("fid", "inception_score")}
    if model["checkpoint"]["rule"] == "best":
        yield last, {"checkpoint_images": model["checkpoint"]["images"]}


def record_best(event_log: EventLog, name: str, model: Mapping[str, Any], seeds: Sequence[int]) -> None:
    """Add the chosen checkpoint, where that is another than the last, as a model of its own."""
    if model["checkpoint"]["rule"] == "best":
        from stages.sampling.loading import snapshot_weights  # imports torch, which the report does without

        folder = seed_folder(MODELS / name, seeds, model["run"]["seed"])
        weights = snapshot_weights(folder, model["checkpoint"]["images"])
        files = {CONFIG: (folder / CONFIG).read_bytes(), GENERATOR: weights}
        event_log.model(files, model["run"]["image_shape"], model["model_sha256"])


def flatten_scores(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Records of scores to numbers: the value as `fid`, the rest as `fid_ci95`, …; nested values are passed over."""
    return {
        name if key == "value" else f"{name}_{key}": number
        for name, record in scores.items()
        for key, number in record.items()
        if isinstance(number, int | float)
    }
