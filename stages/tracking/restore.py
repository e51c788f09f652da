"""Fill MLflow's store from models/ and metrics/: a whole run for each trained model that the store does not know.

DVC runs no stage whose outputs exist already. If the store was deleted, or if outputs came from DVC's cache, nothing
else records them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stages.config.command import run_stage
from stages.config.errors import StageError
from stages.config.params import Params, Tracking
from stages.reporting.summary import find_champion
from stages.sampling.snapshots import read_snapshots
from stages.storage.files import read_json, read_rows, sha256
from stages.storage.images import GRID, Split, data_digest, read_split
from stages.storage.paths import (
    CONFIG,
    CURVE,
    GENERATOR,
    LOSSES,
    MODELS,
    PROCESSED,
    SCORES,
    SUMMARY,
    VARIANTS,
    seed_folder,
)
from stages.tracking.descriptions import describe_variant
from stages.tracking.event_log import EventLog
from stages.tracking.exporter import sync
from stages.tracking.model_registry import PREFIX, find_model, find_version, has_files, set_champion
from stages.tracking.recorded_scores import (
    curve_points,
    record_best,
    record_report,
    select_compared,
)
from stages.tracking.run_names import SERVED_TAG
from stages.tracking.store import find_run, open_store
from stages.tracking.store_errors import store_errors

PATIENCE = 600  # seconds for a run; nothing else waits for this command


@contextlib.contextmanager
def tell_errors() -> Iterator[list[StageError]]:
    """Print a StageError instead of raising it, so that a broken model does not keep others from being restored."""
    errors: list[StageError] = []
    try:
        yield errors
    except StageError as error:
        errors.append(error)
        print(f"error: {error}", file=sys.stderr)


class ModelOnDisk(NamedTuple):
    """A trained model on disk: one variant, one seed."""

    name: str
    folder: Path
    config: dict[str, Any]  # as in its config.json
    sha256: str  # of its weights


def main(params: Params) -> None:
    """Export the logs that wait, then restore the runs of all variants and seeds.

    Raises StageError if files do not fit together, the store cannot be reached, or something was not recorded.
    """
    if not params.tracking.enabled:
        raise StageError("params.yaml: tracking.enabled is false: no run is restored")
    tracking = params.tracking.model_copy(update={"wait_seconds": PATIENCE})
    with store_errors():  # one line, instead of one more for each log
        open_store(tracking.experiment)
    failed, whole, completed, restored = sync(), 0, 0, 0
    models: list[ModelOnDisk] = []
    for name in params.variants:
        with tell_errors() as errors:
            models += models_on_disk(name)
        failed += len(errors)
    runs = find_runs(tracking.experiment, models)
    train = read_split("train") if (PROCESSED / "train").exists() else None
    for model, (run, is_whole) in zip(models, runs, strict=True):
        is_restored = False
        if is_whole:
            whole += 1
            continue
        with tell_errors():
            is_restored = restore_run(tracking, model, run, train)
        if not is_restored:
            failed += 1
        elif run:  # scores, say, that DVC did not compute again
            completed += 1
        else:
            restored += 1
            print(f"restored {model.name} (seed {model.config['seed']})", flush=True)
    print(f"MLflow: runs of {len(models)} models: {whole} complete, {completed} completed now, {restored} restored")
    if absent := [name for name in params.variants if not (MODELS / name / CONFIG).exists()]:
        print(f"no model yet: {', '.join(sorted(absent))}; if DVC's cache has it, `dvc checkout` brings it")
    restore_build(tracking, models, is_changed=completed + restored > 0)
    if failed:
        raise StageError(f"not recorded whole: {failed}; the reasons are above")


def models_on_disk(name: str) -> Iterator[ModelOnDisk]:
    """The models of a variant that are on disk, one per seed; a training that diverged left none."""
    if (MODELS / name / CONFIG).exists():
        seeds = read_json(MODELS / name / CONFIG)["seeds"]
        for folder in (seed_folder(MODELS / name, seeds, seed) for seed in seeds):
            if "diverged" not in (config := read_json(folder / CONFIG)):
                yield ModelOnDisk(name, folder, config, sha256(folder / GENERATOR))


def has_all(client: MlflowClient, run: Run, model: ModelOnDisk) -> bool:
    """Whether a run has its scores, pictures and a model that is registered.

    Scores may be missing: DVC does not score samples again that it has scored before. If artifacts cannot be listed,
    restoring them says why.
    """
    scored, _ = read_scored(model)
    wanted = {f"scores/{key}" for key in select_compared(scored["scores"]).values} if scored else set()
    if SERVED_TAG not in run.data.tags or not wanted <= run.data.metrics.keys():
        return False
    if not (logged := find_model(client, run)):
        return False
    try:
        has_artifacts = has_files(client, logged.model_id) and client.list_artifacts(run.info.run_id, "images")
    except Exception:  # each kind of artifact store raises its own
        return False
    return bool(has_artifacts and find_version(client, PREFIX + model.name, run.data.tags[SERVED_TAG], there=logged))


def restore_build(tracking: Tracking, models: Sequence[ModelOnDisk], *, is_changed: bool) -> None:
    """Make the registry's champion the best of these models. If runs changed, add the build's report, too."""
    scored: dict[str, list[Any]] = {model.name: [] for model in models}
    for model in models:
        scored[model.name] += [found] if (found := read_scored(model)[0]) else []
    if is_changed and SUMMARY.exists():
        record_report(tracking, scored)
    elif champion := find_champion(scored):
        _, best = champion
        with store_errors():
            client, experiment_id = open_store(tracking.experiment)
            run = find_run(client, experiment_id, best["model_sha256"], best["run"]["checkpoint"])
            if run and (logged := find_model(client, run)):
                set_champion(client, run, logged)


def find_runs(experiment: str, models: list[ModelOnDisk]) -> list[tuple[Run | None, bool]]:
    """The runs of models in MLflow, and whether each is whole; raises StageError where no store can be reached."""
    with store_errors():
        client, experiment_id = open_store(experiment)
        runs = [find_run(client, experiment_id, one.sha256, one.config["checkpoint"]) for one in models]
        return [(run, bool(run and has_all(client, run, one))) for run, one in zip(runs, models, strict=True)]


def restore_run(tracking: Tracking, model: ModelOnDisk, run: Run | None, train: Split | None) -> bool:
    """Give MLflow a model's run, or what its run lacks; return whether all of it is there now."""
    name, config = model.name, model.config
    scored, curve = read_scored(model)
    points = [("training", *point) for point in loss_points(model)]
    points += [("along_training", *point) for point in (curve_points(scored, curve) if scored else ())]
    known = run.data.metrics if run else {}
    dataset = describe_dataset(config, train) if train else None
    snapshots = read_snapshots(model.folder)
    files = {file: (model.folder / file).read_bytes() for file in (CONFIG, GENERATOR)}
    with EventLog(tracking, f"restore-{name}") as event_log:
        event_log.join_run(name, model.sha256, config["checkpoint"], otherwise=None if run else config)
        if dataset and not (run and run.inputs and run.inputs.dataset_inputs):
            event_log.dataset(*dataset)
        for group, step, values in points:
            lacking = {key: value for key, value in values.items() if f"{group}/{key}" not in known}
            event_log.metrics(step, lacking, group)
        for seen, samples in zip(snapshots["images_seen"], snapshots["samples"], strict=True):
            event_log.images("samples", int(seen), samples[:GRID])
        event_log.model(files, model.sha256)
        if scored:
            record_best(event_log, name, scored, config["seeds"])
            event_log.scores(scored["checkpoint"]["images"], *select_compared(scored["scores"]))
            event_log.note(describe_variant(name, scored["scores"]))
    return event_log.folder is not None and not event_log.folder.exists()


def describe_dataset(config: dict[str, Any], train: Split) -> tuple[str, int, str] | None:
    """Folder, count of images and hash of what a model learned from; None if the images are of another kind now."""
    if (list(train.image_shape), list(train.classes)) != (config["image_shape"], config["classes"]):
        return None
    return str(PROCESSED / "train"), config["training_images"], data_digest(train)


def loss_points(model: ModelOnDisk) -> Iterator[tuple[int, dict[str, float]]]:
    """The loss curve: numbers by images seen; empty if a later training diverged, and left its own instead."""
    rows = rows_of_seed(VARIANTS / model.name / LOSSES, model.config["seed"])
    if rows and rows[-1]["images"] >= model.config["variant"]["images"]:
        for row in rows:
            yield int(row["images"]), {key: row[key] for key in row.keys() - {"seed", "images"}}


def read_scored(model: ModelOnDisk) -> tuple[dict[str, Any] | None, list[dict[str, float]]]:
    """The evaluation of exactly these weights and this rule for checkpoints, if there is one, and the score curve."""
    path = VARIANTS / model.name / SCORES
    models = read_json(path)["models"] if path.exists() else []
    curve = rows_of_seed(VARIANTS / model.name / CURVE, model.config["seed"])
    known = (model.sha256, model.config["checkpoint"])
    found = (one for one in models if (one["model_sha256"], one["checkpoint"]["rule"]) == known)
    return next(found, None) if curve else None, curve


def rows_of_seed(path: Path, seed: int) -> list[dict[str, float]]:
    """The rows of a seed in a file of curves; none where there is no such file."""
    return [row for row in read_rows(path) if row["seed"] == seed] if path.exists() else []


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
