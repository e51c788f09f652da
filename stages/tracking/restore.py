"""Fill MLflow's store with whole runs of the models on disk, where the store is new or DVC pulled the outputs.

A model whose run the store has, by the hash of its weights, is left alone. Reads models, metrics and data/processed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from stages.config.command import run_stage
from stages.config.params import Params
from stages.storage import paths
from stages.storage.files import read_json, sha256
from stages.storage.images import data_digest, read_split
from stages.storage.paths import METRICS, seed_folder
from stages.tracking.event_log import EventLog
from stages.tracking.restored_runs import flatten_scores

GRID = 64  # images in a grid of samples


def main(params: Params) -> None:
    """Restore the run of each variant and seed; raises StageError where a variant's files are missing."""
    train = read_split("train")
    digest = data_digest(train)
    with EventLog(params.tracking, "restore") as event_log:
        for name in params.variants:
            scores = read_json(paths.SCORES / f"{name}.json")
            for model in scores["models"]:
                restore(event_log, name, model, len(train.images), digest)
                print(f"restore: {name} (seed {model['seed']})")


def restore(event_log: EventLog, name: str, model: Mapping[str, Any], rows: int, digest: str) -> None:
    """Write a model's whole run into the log: data, curves, grids, scores and the model itself."""
    run, seed = model["run"], model["seed"]
    folder = seed_folder(paths.MODELS / name, run["seeds"], seed)
    event_log.join_run(name, model["model_sha256"], run["checkpoint"], otherwise=run)
    event_log.dataset("data/processed/train", rows, digest)
    for row in read_curve(METRICS / name / paths.LOSSES, seed):
        event_log.metrics(int(row.pop("images")), row)
    snapshots = load_file(folder / paths.SNAPSHOTS)
    for seen, samples in zip(snapshots["images_seen"].tolist(), snapshots["samples"], strict=True):
        event_log.images("samples", seen, samples[:GRID])
    curve = read_curve(METRICS / name / paths.CURVE, seed)
    for row in curve:
        values = {f"snapshot_{key}": row[key] for key in ("fid", "inception_score")}
        event_log.metrics(int(row["images"]), values)
    event_log.metrics(int(curve[-1]["images"]), flatten_scores(model["scores"]))
    files = {file: (folder / file).read_bytes() for file in (paths.CONFIG, paths.GENERATOR)}
    event_log.model(files, run["image_shape"], sha256(folder / paths.GENERATOR))


def read_curve(path: Path, seed: int) -> list[dict[str, float]]:
    """Rows of one seed in losses.csv or scores.csv."""
    table = np.atleast_1d(np.genfromtxt(path, delimiter=",", names=True))
    names = [name for name in table.dtype.names or () if name != "seed"]
    return [{name: float(row[name]) for name in names} for row in table[table["seed"] == seed]]


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
