"""Score one variant's samples: data/samples/<variant> -> metrics/<variant>.json, metrics/variants/<variant>."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.config.command import run_stage
from stages.config.params import Params
from stages.evaluation.curves import gradient_left, rises
from stages.evaluation.evaluator import Evaluator
from stages.evaluation.neighbours import Nearest
from stages.evaluation.samples import check_features, read_given, read_samples
from stages.scoring.score import compute_scores, find_scores
from stages.scoring.seeds import average_scores
from stages.storage import paths
from stages.storage.files import read_array, read_json, read_rows, rounded, sha256, write_bytes, write_csv, write_json
from stages.storage.images import grid_png
from stages.storage.paths import METRICS, VARIANTS, seed_folder
from stages.storage.weights import read_tensors
from stages.tracking.event_log import EventLog
from stages.tracking.recorded_scores import record_scores
from stages.training import processes
from stages.training.device import prepare
from stages.training.launch import is_launched, launch

COLUMNS = 20  # samples at most in the picture of those closest to training images
ROWS = 4  # of a seed in that picture: samples over training images, by pixels and by features
SHOWN_BY_DVC = ("fid", "validation_fid", "kid", "precision", "recall")


def main(params: Params, name: str) -> None:
    """Score the samples of each seed against test images, and the snapshots of training against validation images."""
    params.variant(name)
    if params.sample.processes > 1 and not is_launched():
        launch(params.sample.processes, "stages.evaluate", name)
        return
    device = prepare(params, params.evaluate.seed)
    processes.join(device)
    seeds = read_json(paths.MODELS / name / paths.CONFIG)["seeds"]
    configs = {seed: read_json(seed_folder(paths.MODELS / name, seeds, seed) / paths.CONFIG) for seed in seeds}
    if processes.is_first():
        score_variant(params, name, configs, device)
    else:  # the first process scores what all see
        see_samples(name, configs, Evaluator(params, read_json(paths.REAL_SCORES), device))


def see_samples(
    name: str, configs: Mapping[int, Any], evaluator: Evaluator
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Features and logits of each seed's samples, by all processes together; none of a training that diverged."""
    seen = {}
    for seed, config in configs.items():
        if "diverged" not in config:
            samples = seed_folder(paths.SAMPLES / name, list(configs), seed)
            pixels = read_samples(samples / paths.IMAGES, tuple(config["image_shape"]))
            seen[seed] = evaluator.features_and_logits_together(pixels)
    return seen


def score_variant(params: Params, name: str, configs: Mapping[int, Any], device: torch.device) -> None:
    """Write all scores of a variant, from each seed's config.json."""
    seeds = list(configs)
    diverged = [config["diverged"] for config in configs.values() if "diverged" in config]
    with EventLog(params.tracking, f"evaluate-{name}") as event_log:
        evaluator = Evaluator(params, read_json(paths.REAL_SCORES), device)  # while the exporter starts
        seen = see_samples(name, configs, evaluator)
        processes.leave()  # a classifier that learns from samples must see whole batches
        scored = [score_seed(name, seed, seeds, evaluator, *of_seed) for seed, of_seed in seen.items()]
        models = [model for model, _, _ in scored]
        scores = average_scores([model["scores"] for model in models])
        closest = [images for _, _, images in scored] or [evaluator.train.images[:0]]
        rows = [row for _, curve, _ in scored for row in curve]
        columns = max(1, len(closest[0]) // ROWS)
        write_bytes(VARIANTS / name / paths.CLOSEST, grid_png(np.concatenate(closest), columns))
        write_csv(VARIANTS / name / paths.CURVE, list(rows[0]) if rows else ["seed", "images", "fid"], rows)
        write_json(VARIANTS / name / paths.SCORES, {"models": models, "failures": diverged})
        shown = [score for score in SHOWN_BY_DVC if score in scores]
        write_json(METRICS / f"{name}.json", rounded({score: scores[score]["value"] for score in shown}))
        for model, curve, _ in scored:
            record_scores(event_log, name, model, curve, seeds)
    for reason in diverged:
        print(f"evaluate: {reason}", file=sys.stderr)
    if scores:
        fid, recall = scores["fid"], scores["recall"]
        print(f"evaluate: {name}: FID {fid['value']:.2f} ± {fid['ci95']:.2f} (real {fid['real']:.2f})", end=", ")
        print(f"recall {recall['value']:.2f} (real {recall['real']:.2f})")


def score_seed(
    name: str, seed: int, seeds: Sequence[int], evaluator: Evaluator, features: np.ndarray, logits: np.ndarray
) -> tuple[dict[str, Any], list[dict[str, Any]], np.ndarray]:
    """One seed's model in scores.json, rows of scores.csv and images of closest.png.

    Features and logits are what the classifier sees in its samples.
    """
    model, samples = (seed_folder(parent / name, seeds, seed) for parent in (paths.MODELS, paths.SAMPLES))
    run = read_json(model / paths.CONFIG)
    pixels = read_samples(samples / paths.IMAGES, tuple(run["image_shape"]))
    check_features(samples, features)
    nearest = evaluator.find_nearest(pixels, features)
    given = {"nearest_ratios": {space: found.ratios for space, found in nearest.items()}}
    given |= read_given(samples, run, pixels, evaluator)
    images = evaluator.image_set(pixels, features, logits, **given)
    curve = [{"seed": seed, **row} for row in score_snapshots(model, samples, evaluator)]
    about = {
        "seed": seed,
        "model_sha256": sha256(model / paths.GENERATOR),
        "run": run,
        "checkpoint": read_json(samples / paths.CHECKPOINT),
        "sample_count": len(pixels),
        "scores": rounded(compute_scores(images, evaluator.context, find_scores().values())),
        "training": rounded(diagnose(VARIANTS / name / paths.LOSSES, seed, [row["fid"] for row in curve])),
    }
    return about, curve, draw_closest(pixels, evaluator.train.images, nearest.values())


def draw_closest(images: np.ndarray, train_images: np.ndarray, nearest: Iterable[Nearest]) -> np.ndarray:
    """Rows of at most COLUMNS images: for each search the likeliest copies over their training images."""
    rows = []
    for found in nearest:
        closest = np.argsort(found.ratios, kind="stable")[:COLUMNS]
        rows += [images[closest], train_images[found.indices[closest]]]
    return np.concatenate(rows)


def score_snapshots(model: Path, samples: Path, evaluator: Evaluator) -> Iterator[dict[str, Any]]:
    """Scores along training, each next to the real baseline's: one row per snapshot."""
    images_seen = read_tensors(model / paths.SNAPSHOTS)["images_seen"].tolist()
    outputs = (read_array(samples / file) for file in (paths.SNAPSHOT_FEATURES, paths.SNAPSHOT_LOGITS))
    for seen, features, logits in zip(images_seen, *outputs, strict=True):
        scores = evaluator.score_snapshot(features, logits)
        row = {"images": seen}
        for name, value in scores.items():
            row |= {name: value, f"{name}_real": evaluator.real["snapshots"][name]}
        yield row


def diagnose(losses: Path, seed: int, fids: Sequence[float]) -> dict[str, float]:
    """What the curves of a seed say about its training."""
    gradients = np.array([row["generator_gradient"] for row in read_rows(losses) if row["seed"] == seed])
    return {"gradient_left": gradient_left(gradients), "fid_rises": rises(fids)}


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
