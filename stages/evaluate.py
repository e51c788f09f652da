"""Score one variant's samples: data/samples/<variant> -> data/scores/<variant>, metrics/<variant>/scores.{json,csv}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.drawing.grids import grid_png
from stages.scoring.agreement import codes_to_accuracy, images_to_l1
from stages.scoring.classes import class_fids, classes_to_shares, shares_to_kl, shares_to_lost
from stages.scoring.diagnosis import gradient_left, rises
from stages.scoring.features import FeatureNetwork, images_to_features, load_classifier
from stages.scoring.fid import FidTo, features_to_fid, features_to_gaussian
from stages.scoring.inception_score import logits_to_inception_score
from stages.scoring.intervals import mean_margin
from stages.scoring.manifold import Manifold
from stages.scoring.memorisation import copies_share, find_nearest, to_points
from stages.scoring.scores import features_to_scores, logits_to_scores
from stages.scoring.usefulness import join_evenly, learn_and_test
from stages.settings.command import run_stage
from stages.settings.errors import StageError
from stages.settings.params import Evaluate, Params
from stages.support.device import prepare
from stages.support.files import (
    CLASSIFIER,
    METRICS,
    MODELS,
    REFERENCE,
    SAMPLES,
    SCORES,
    read_array,
    read_json,
    sha256,
    write_bytes,
    write_csv,
    write_json,
)
from stages.support.images import Split, read_split, to_float, to_outlines, to_uint8
from stages.support.weights import read_tensors
from stages.tracking.journal import Journal

CLOSEST = 20  # samples in the picture of those closest to training images
LISTED = 100  # classes, above which scores tell of all together only


def main(params: Params, name: str) -> None:
    """Score the samples against test images, and the snapshots of training against validation images."""
    params.variant(name)
    options = params.evaluate
    device = prepare(params, options.seed)
    run, model_hash = read_json(MODELS / name / "config.json"), sha256(MODELS / name / "generator.safetensors")
    real = read_json(REFERENCE / "real.json")
    train, test = read_split("train"), read_split("test")
    with Journal(params.tracking, f"evaluate-{name}") as journal:
        journal.join_run(name, model_hash)
        classifier = load_classifier(CLASSIFIER, device)
        images = read_samples(SAMPLES / name / "images.npy", tuple(run["image_shape"]))
        features, logits = images_to_features(classifier, images, device)
        check_features(SAMPLES / name, features)
        predicted = logits.argmax(axis=1)
        scores = score(features, logits, options, real["scores"])
        scores |= score_classes(features, predicted, test.labels, run["classes"])
        labels = read_labels(SAMPLES / name, len(images), run["classes"])
        scores |= score_asked(SAMPLES / name, predicted, labels)
        copies, closest = score_copies(images, features, train.images, real["copies_threshold"], options)
        scores |= copies
        if (SAMPLES / name / "outlines.npy").exists():
            scores |= score_translations(classifier, SAMPLES / name, images, test, device)
        elif labels is not None:
            scores |= real["accuracies"] | score_usefulness(params, Split(images, labels), train, test, device)
        curve = score_snapshots(classifier, name, real["snapshot_fid"], options, device)
        losses = np.atleast_1d(np.genfromtxt(METRICS / name / "losses.csv", delimiter=",", names=True))
        training = {
            "gradient_left": gradient_left(losses["generator_gradient"]),
            "fid_rises": rises([row["fid"] for row in curve]),
        }

        write_bytes(METRICS / name / "closest.png", closest)
        write_csv(METRICS / name / "scores.csv", list(curve[0]), curve)
        write_json(METRICS / name / "scores.json", scores)
        about = {"scores": scores, "training": training, "run": run, "model_sha256": model_hash}
        write_json(SCORES / name / "evaluation.json", about)
        journal.metrics(curve[-1]["images"], {key: value for key, value in scores.items() if isinstance(value, float)})
        for row in curve:
            journal.metrics(row["images"], {f"snapshot_{key}": row[key] for key in ("fid", "inception_score")})
    print(f"evaluate: {name}: FID {scores['fid']:.2f} ± {scores['fid_margin']:.2f}", end=" ")
    print(f"(real {scores['fid_real']:.2f}), recall {scores['recall']:.2f} (real {scores['recall_real']:.2f})")


def read_samples(path: Path, image_shape: tuple[int, ...]) -> np.ndarray:
    """uint8 images (count, channels, height, width) of that shape; raises StageError for anything else."""
    images = read_array(path)
    if images.dtype != np.uint8 or images.shape[1:] != image_shape:
        expected = f"uint8 (count, {', '.join(map(str, image_shape))})"
        raise StageError(f"{path}: expected {expected}, got {images.dtype} {images.shape}")
    return images


def read_labels(folder: Path, count: int, classes: int) -> np.ndarray | None:
    """int64 labels of samples, (count,), 0 to classes - 1, where they were asked for by label.

    Raises StageError for anything else.
    """
    if not (folder / "labels.npy").exists():
        return None
    labels = read_array(folder / "labels.npy")
    if labels.dtype != np.int64 or labels.shape != (count,) or labels.min() < 0 or labels.max() >= classes:
        raise StageError(
            f"{folder}/labels.npy: expected int64 ({count},), each from 0 to {classes - 1}, "
            f"got {labels.dtype} {labels.shape}"
        )
    return labels


def check_features(folder: Path, features: np.ndarray) -> None:
    """Raise StageError for features (images, dims) that say nothing: too few images, not finite, all the same."""
    count, dims = features.shape
    if count <= dims:
        raise StageError(
            f"{folder}: {count} samples are too few: their covariance in {dims} dimensions takes more than {dims}"
        )
    if not np.isfinite(features).all():
        raise StageError(f"{folder}: features of samples are not finite; is models/classifier whole?")
    if not features.var(axis=0).any():
        raise StageError(f"{folder}: all samples look the same to the classifier: the generator has collapsed")


def score(features: np.ndarray, logits: np.ndarray, options: Evaluate, real: dict[str, float]) -> dict[str, Any]:
    """Every score beside what real images reach (`…_real`)."""
    arrays = (read_array(REFERENCE / f"test_{name}.npy") for name in ("features", "squared_radii", "squared_nearest"))
    return {
        **features_to_scores(features, Manifold(*arrays), options),
        **logits_to_scores(logits, options),
        **{f"{name}_real": value for name, value in real.items()},
        # the one to choose settings by
        "validation_fid": features_to_fid(features, read_array(REFERENCE / "validation_features.npy")),
        "sample_count": len(features),
    }


def score_classes(features: np.ndarray, predicted: np.ndarray, test_labels: np.ndarray, classes: int) -> dict[str, Any]:
    """Shares of classes among samples, how uneven these are, which are lost, and the FID of each."""
    shares = classes_to_shares(predicted, classes)
    fids = class_fids(features, predicted, read_array(REFERENCE / "test_features.npy"), test_labels)
    scores = {
        "smallest_class_share": float(shares.min()),
        "class_kl": shares_to_kl(shares),
        "classes_lost": len(shares_to_lost(shares)),
    }
    if classes > LISTED:
        return scores | {"modes": int((shares > 0).sum())}
    return scores | {
        "class_share": {str(label): float(share) for label, share in enumerate(shares)},
        "class_fid": {str(label): fid for label, fid in fids.items()},
    }


def score_asked(folder: Path, predicted: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
    """How often the classifier sees what was asked for: the label, or the class that a code stands for."""
    scores = {}
    if labels is not None:
        hits = predicted == labels
        scores = {"label_accuracy": float(hits.mean()), "label_accuracy_margin": mean_margin(hits)}
    if (folder / "codes.npy").exists():
        scores["code_accuracy"] = codes_to_accuracy(read_array(folder / "codes.npy"), predicted)
    return scores


def score_copies(
    images: np.ndarray,
    features: np.ndarray,
    train_images: np.ndarray,
    thresholds: dict[str, float],
    options: Evaluate,
) -> tuple[dict[str, float], bytes]:
    """Shares of samples that are copies of training images, in pixels and in features.

    And a picture: the likeliest copies in pixels over their training images, then those in features over theirs.
    """
    looked_up = slice(options.memorisation_samples)
    nearest = {
        "pixels": find_nearest(to_points(images[looked_up]), to_points(train_images)),
        "features": find_nearest(features[looked_up], read_array(REFERENCE / "train_features.npy")),
    }
    rows = []
    for found in nearest.values():
        closest = np.argsort(found.ratios, kind="stable")[:CLOSEST]
        rows += [images[closest], train_images[found.indices[closest]]]
    scores = {f"copies_{space}": copies_share(found, thresholds[space]) for space, found in nearest.items()}
    return scores, grid_png(np.concatenate(rows), len(rows[0]))


def score_usefulness(
    params: Params, samples: Split, train: Split, test: Split, device: torch.device
) -> dict[str, float]:
    """What a classifier learns from samples by label alone, and beside a small set of real images."""
    small_set = read_array(REFERENCE / "small_set.npy")
    few_real = Split(train.images[small_set], train.labels[small_set])
    config = read_json(CLASSIFIER / "config.json")
    images = getattr(params.evaluate.usefulness.images, params.budget)
    return {
        name: learn_and_test(training_set, test, config, images, device)
        for name, training_set in {
            "classification_accuracy": samples,
            "augmented_accuracy": join_evenly(few_real, samples),
        }.items()
    }


def score_translations(
    classifier: FeatureNetwork, folder: Path, images: np.ndarray, test: Split, device: torch.device
) -> dict[str, float]:
    """Translated test images beside their true pairs, both ways, and after the whole cycle.

    L1 distances are means over pixels of images in [-1, 1]: 0 to 2.
    """
    digits = test.images[: len(images)]
    outlines = np.concatenate(
        [to_uint8(to_outlines(to_float(batch))).numpy() for batch in torch.from_numpy(digits).split(1000)]
    )
    made_outlines, cycled, cycled_outlines = (
        read_samples(folder / f"{name}.npy", images.shape[1:])
        for name in ("outlines", "cycled_images", "cycled_outlines")
    )
    made_features, features = (
        images_to_features(classifier, domain, device)[0] for domain in (made_outlines, outlines)
    )
    _, logits = images_to_features(classifier, digits, device)
    return {
        "outline_fid": features_to_fid(made_features, features),
        "paired_l1": images_to_l1(images, digits),
        "outline_paired_l1": images_to_l1(made_outlines, outlines),
        "cycle_l1": images_to_l1(cycled, digits),
        "outline_cycle_l1": images_to_l1(cycled_outlines, outlines),
        "label_accuracy_before": float(np.mean(logits.argmax(axis=1) == test.labels[: len(images)])),
    }


def score_snapshots(
    classifier: FeatureNetwork, name: str, real: float, options: Evaluate, device: torch.device
) -> list[dict[str, Any]]:
    """Scores along training, against validation images: one row a snapshot."""
    snapshots = read_tensors(MODELS / name / "snapshots.safetensors")
    to_validation = FidTo(features_to_gaussian(read_array(REFERENCE / "validation_features.npy")))
    rows = []
    for seen, samples in zip(snapshots["images_seen"].tolist(), snapshots["samples"].numpy(), strict=True):
        features, logits = images_to_features(classifier, samples, device)
        splits = min(options.inception_splits, len(samples))
        rows.append(
            {
                "images": seen,
                "fid": to_validation(features_to_gaussian(features)),
                "fid_real": real,
                "inception_score": logits_to_inception_score(logits, splits, options.seed)[0],
            }
        )
    return rows


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
