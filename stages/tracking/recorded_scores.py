"""Scores in MLflow: added to the run that trained a model, or to a run restored for one that came from DVC's cache.

A model is one of metrics/variants/<variant>/scores.json; its run is found by the hash of its weights.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stages.config.params import Tracking
from stages.reporting.summary import CHOICE, find_champion
from stages.sampling.snapshots import snapshot_weights
from stages.storage.paths import CONFIG, GENERATOR, MODELS, PAGE, REPORT, SUMMARY, seed_folder
from stages.tracking.descriptions import describe_build, describe_variant
from stages.tracking.event_log import EventLog

Model = Mapping[str, Any]
NOTICE = "MLflow did not know some models; to add their curves, pictures and models: python -m stages.tracking.restore"


class Compared(NamedTuple):
    """Those of a model's scores that people compare, as numbers by name."""

    values: dict[str, float]
    real: dict[str, float]  # what real images reach


def record_report(tracking: Tracking, models: Mapping[str, Sequence[Model]]) -> None:
    """Add the build's run, with its ranking and its page, the ranks of its variants, and the champion of all.

    A model whose stages came from the cache, and whose run MLflow does not know, gets one with its scores. The report
    does not depend on what else belongs to such a run: `stages.tracking.restore` reads and adds it.
    """
    rows = read_summary()
    ranks = {
        row["variant"]: f"{row['rank']} of {sum(bool(other['rank']) for other in rows)}" for row in rows if row["rank"]
    }
    with EventLog(tracking, "report") as event_log:
        event_log.join_build()
        event_log.note(describe_build(rows))
        if (REPORT / PAGE).exists():
            event_log.artifact(f"report/{PAGE}", (REPORT / PAGE).read_bytes())
        for name, of_variant in models.items():
            for model in of_variant:
                run, note = model["run"], describe_variant(name, model["scores"], ranks.get(name, ""))
                event_log.join_run(name, model["model_sha256"], run["checkpoint"], otherwise=run, notice=NOTICE)
                event_log.scores(model["checkpoint"]["images"], *select_compared(model["scores"]))
                event_log.join_run(name, model["model_sha256"], run["checkpoint"])
                event_log.note(note, of_build=True)
        if champion := find_champion(models):
            _, best = champion
            event_log.join_run("champion", best["model_sha256"], best["run"]["checkpoint"])
            event_log.champion()


def record_scores(
    event_log: EventLog, name: str, model: Model, curve_rows: Sequence[Any], seeds: Sequence[int]
) -> None:
    """Add a model's scores to the run that trained it, its score curve, and the checkpoint that was chosen."""
    event_log.join_run(name, model["model_sha256"], model["run"]["checkpoint"])
    for step, values in curve_points(model, curve_rows):
        event_log.metrics(step, values, "along_training")
    record_best(event_log, name, model, seeds)
    event_log.scores(model["checkpoint"]["images"], *select_compared(model["scores"]))
    event_log.note(describe_variant(name, model["scores"]))


def curve_points(model: Model, curve_rows: Sequence[Any]) -> Iterator[tuple[int, dict[str, float]]]:
    """A model's score curve, and which checkpoint was chosen: numbers by images seen."""
    for row in curve_rows:
        yield int(row["images"]), {key: row[key] for key in ("fid", "inception_score")}
    if model["checkpoint"]["rule"] == "best":
        yield int(curve_rows[-1]["images"]), {"checkpoint_images": model["checkpoint"]["images"]}


def record_best(event_log: EventLog, name: str, model: Model, seeds: Sequence[int]) -> None:
    """Add the chosen checkpoint as a model of its own, if it is not the last."""
    if model["checkpoint"]["rule"] == "best":
        folder = seed_folder(MODELS / name, seeds, model["run"]["seed"])
        weights = snapshot_weights(folder, model["checkpoint"]["images"])
        files = {CONFIG: (folder / CONFIG).read_bytes(), GENERATOR: weights}
        event_log.model(files, model["model_sha256"])


def select_compared(scores: Mapping[str, Mapping[str, Any]]) -> Compared:
    """Scores with a confidence interval, the one to choose by, and the interval of FID.

    They are few because MLflow's pages draw each. The description of the run has all.
    """
    compared = {name: record for name, record in scores.items() if "ci95" in record or name == CHOICE}
    values = {name: record["value"] for name, record in compared.items()}
    interval = {"fid_ci95": scores["fid"]["ci95"]} if "ci95" in scores.get("fid", {}) else {}
    return Compared(values | interval, {name: record["real"] for name, record in compared.items() if "real" in record})


def read_summary() -> list[dict[str, str]]:
    """The rows of metrics/summary.csv that have scores, ranked by FID, translators last."""
    if not SUMMARY.exists():
        return []
    with SUMMARY.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["fid"]]
