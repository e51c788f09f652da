"""Score one variant's samples: data/samples/<variant> -> metrics/scores/<variant>.json, metrics/<variant>."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.config.command import run_stage
from stages.config.errors import StageError
from stages.config.params import Params
from stages.evaluation.evaluator import Evaluator
from stages.evaluation.neighbours import Nearest
from stages.scoring.diagnosis import gradient_left, rises
from stages.scoring.score import compute_scores, find_scores
from stages.scoring.seeds import average_scores
from stages.storage import paths
from stages.storage.files import read_array, read_json, sha256, write_bytes, write_csv, write_json
from stages.storage.images import grid_png
from stages.storage.paths import METRICS, seed_folder
from stages.storage.pixels import to_float, to_outlines, to_uint8
from stages.storage.weights import read_tensors
from stages.tracking.event_log import EventLog
from stages.tracking.restored_runs import record_scores
from stages.training.device import prepare

CLOSEST = 20  # samples in the picture of those closest to training images
SAME = 1e-5  # of the largest feature, within which float32 features are the same
SHOWN_BY_DVC = ("fid", "kid", "precision", "recall")


def main(params: Params, name: str) -> None:
    """Score the samples of each seed against test images, and the snapshots of training against validation images."""
    params.variant(name)
    device = prepare(params, params.evaluate.seed)
    seeds = read_json(paths.MODELS / name / paths.CONFIG)["seeds"]
    with EventLog(params.tracking, f"evaluate-{name}") as event_log:
        evaluator = Evaluator(params, read_json(paths.REFERENCE / "real.json"), device)
        models, curves, closest = zip(*(score_seed(name, seed, seeds, evaluator) for seed in seeds), strict=True)
        scores = average_scores([model["scores"] for model in models])
        write_bytes(METRICS / name / "closest.png", grid_png(np.concatenate(closest), CLOSEST))
        write_csv(METRICS / name / "scores.csv", list(curves[0][0]), [row for curve in curves for row in curve])
        write_json(paths.SCORES / f"{name}.json", {"models": models})
        write_json(METRICS / f"{name}.json", {score: scores[score]["value"] for score in SHOWN_BY_DVC})
        for model, curve in zip(models, curves, strict=True):
            record_scores(event_log, name, model, curve, seeds)
    fid, recall = scores["fid"], scores["recall"]
    print(f"evaluate: {name}: FID {fid['value']:.2f} ± {fid['ci95']:.2f} (real {fid['real']:.2f})", end=", ")
    print(f"recall {recall['value']:.2f} (real {recall['real']:.2f})")


def score_seed(
    name: str, seed: int, seeds: Sequence[int], evaluator: Evaluator
) -> tuple[dict[str, Any], list[dict[str, Any]], np.ndarray]:
    """Of one seed: the model in metrics/scores/<variant>.json, the rows of scores.csv, the images of closest.png."""
    model, samples = (seed_folder(parent / name, seeds, seed) for parent in (paths.MODELS, paths.SAMPLES))
    run = read_json(model / paths.CONFIG)
    pixels = read_samples(samples / paths.IMAGES, tuple(run["image_shape"]))
    features, logits = evaluator.see(pixels)
    check_features(samples, features)
    nearest = evaluator.find_nearest(pixels, features)
    given = {"nearest_ratios": {space: found.ratios for space, found in nearest.items()}}
    given |= read_labels_and_pairs(samples, run, pixels, evaluator)
    images = evaluator.image_set(pixels, features, logits, **given)
    curve = [{"seed": seed, **row} for row in score_snapshots(model, samples, evaluator)]
    about = {
        "seed": seed,
        "model_sha256": sha256(model / paths.GENERATOR),
        "run": run,
        "checkpoint": read_json(samples / paths.CHECKPOINT),
        "sample_count": len(pixels),
        "scores": compute_scores(images, evaluator.context, find_scores().values()),
        "training": diagnose(METRICS / name / paths.LOSSES, seed, [row["fid"] for row in curve]),
    }
    return about, curve, draw_closest(pixels, evaluator.train.images, nearest.values())


def read_samples(path: Path, image_shape: tuple[int, ...]) -> np.ndarray:
    """uint8 images (count, channels, height, width) of that shape; raises StageError for anything else."""
    images = read_array(path)
    if images.dtype != np.uint8 or images.shape[1:] != image_shape:
        expected = f"uint8 (count, {', '.join(map(str, image_shape))})"
        raise StageError(f"{path}: expected {expected}, got {images.dtype} {images.shape}")
    return images


def read_labels(path: Path, count: int, classes: int) -> np.ndarray:
    """int64 labels or codes (count,) of samples, 0 to classes - 1; raises StageError for anything else."""
    labels = read_array(path)
    if labels.dtype != np.int64 or labels.shape != (count,) or labels.min() < 0 or labels.max() >= classes:
        expected = f"int64 ({count},), each from 0 to {classes - 1}"
        raise StageError(f"{path}: expected {expected}, got {labels.dtype} {labels.shape}")
    return labels


def read_labels_and_pairs(
    folder: Path, run: Mapping[str, Any], images: np.ndarray, evaluator: Evaluator
) -> dict[str, Any]:
    """What an ImageSet is given besides pixels: labels, codes, a training set or pairs, as config.json says."""
    files = {"ignored": {}, "class": {"labels": paths.LABELS}, "code": {"codes": paths.CODES}}[run["label_meaning"]]
    count, classes = len(images), len(run["classes"])
    given: dict[str, Any] = {name: read_labels(folder / file, count, classes) for name, file in files.items()}
    if run["starts_from"] == "test_images":
        given["pairs"] = read_pairs(folder, images, evaluator)
    elif "labels" in given:  # of test images a classifier must not learn
        given["training_set"] = evaluator.train._replace(images=images, labels=given["labels"])
    return given


def read_pairs(folder: Path, images: np.ndarray, evaluator: Evaluator) -> dict[str, np.ndarray]:
    """Test images in both domains, what a translator made of them, and the classifier's features of outlines."""
    digits, train_digits = evaluator.test.images[: len(images)], evaluator.train.images[: len(images)]
    made, cycled_digits, cycled_outlines = (
        read_samples(folder / f"{name}.npy", images.shape[1:])
        for name in ("outlines", "cycled_images", "cycled_outlines")
    )
    outlines = images_to_outlines(digits)
    return {
        "digits": digits,
        "digit_classes": evaluator.see(digits)[1].argmax(axis=1),
        "outlines": outlines,
        "outline_features": evaluator.see(outlines)[0],
        "train_outline_features": evaluator.see(images_to_outlines(train_digits))[0],
        "made_outlines": made,
        "made_outline_features": evaluator.see(made)[0],
        "cycled_digits": cycled_digits,
        "cycled_outlines": cycled_outlines,
    }


def images_to_outlines(images: np.ndarray) -> np.ndarray:
    """Outlines of uint8 images (count, channels, height, width), as uint8."""
    batches = torch.from_numpy(images).split(1000)
    return np.concatenate([to_uint8(to_outlines(to_float(batch))).numpy() for batch in batches])


def check_features(folder: Path, features: np.ndarray) -> None:
    """Raise StageError for features (images, dims) that say nothing: too few images, not finite, all the same."""
    count, dims = features.shape
    if count <= dims:
        raise StageError(
            f"{folder}: {count} samples are too few: their covariance in {dims} dimensions takes more than {dims}"
        )
    if not np.isfinite(features).all():
        raise StageError(f"{folder}: features of samples are not finite; is models/classifier whole?")
    if np.ptp(features, axis=0).max() <= SAME * np.abs(features).max():
        raise StageError(f"{folder}: all samples look the same to the classifier: the generator has collapsed")


def draw_closest(images: np.ndarray, train_images: np.ndarray, nearest: Iterable[Nearest]) -> np.ndarray:
    """Rows of CLOSEST images: for each search the likeliest copies over their training images."""
    rows = []
    for found in nearest:
        closest = np.argsort(found.ratios, kind="stable")[:CLOSEST]
        rows += [images[closest], train_images[found.indices[closest]]]
    return np.concatenate(rows)


def score_snapshots(model: Path, samples: Path, evaluator: Evaluator) -> Iterator[dict[str, Any]]:
    """Scores along training, each next to the real baseline's: a row a snapshot."""
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
    curves = np.atleast_1d(np.genfromtxt(losses, delimiter=",", names=True))
    gradients = curves["generator_gradient"][curves["seed"] == seed]
    return {"gradient_left": gradient_left(gradients), "fid_rises": rises(fids)}


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
