"""Score one variant's samples: data/samples/<variant> -> data/scores/<variant>, metrics/<variant>/scores.{json,csv}."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from stages.scoring.agreement import codes_to_accuracy, images_to_l1
from stages.scoring.classes import score_classes
from stages.scoring.diagnosis import gradient_left, rises
from stages.scoring.features import FeatureNetwork, images_to_features, load_classifier
from stages.scoring.fid import features_to_fid
from stages.scoring.inception import images_to_inception_features, load_inception
from stages.scoring.inception_score import logits_to_inception_score
from stages.scoring.intervals import mean_margin
from stages.scoring.manifold import Manifold
from stages.scoring.memorisation import copies_share, find_nearest, to_points
from stages.scoring.scores import features_to_scores, logits_to_scores
from stages.scoring.seeds import average_scores
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
    seed_folder,
    sha256,
    write_bytes,
    write_csv,
    write_json,
)
from stages.support.images import Split, grid_png, read_split, to_float, to_outlines, to_uint8
from stages.support.weights import read_tensors
from stages.tracking.journal import Journal

CLOSEST = 20  # samples in the picture of those closest to training images
SAME = 1e-5  # of the largest feature, within which float32 features are the same


class Yardstick(NamedTuple):
    """What samples are measured with: networks, real images, and what these reach."""

    classifier: FeatureNetwork
    inception: nn.Module | None
    train: Split
    test: Split
    real: dict[str, Any]
    device: torch.device


def main(params: Params, name: str) -> None:
    """Score the samples of each seed against test images, and the snapshots of training against validation images."""
    params.variant(name)
    device = prepare(params, params.evaluate.seed)
    seeds = read_json(MODELS / name / "config.json")["variant"]["seeds"]
    models: list[dict[str, Any]] = []
    curve: list[dict[str, Any]] = []
    copies: list[np.ndarray] = []
    with Journal(params.tracking, f"evaluate-{name}") as journal:
        yardstick = Yardstick(
            load_classifier(CLASSIFIER, device),
            load_inception(params.evaluate.inception, device),
            read_split("train"),
            read_split("test"),
            read_json(REFERENCE / "real.json"),
            device,
        )
        if yardstick.inception is not None and not yardstick.real["inception_scores"]:
            print("inception: data/reference lacks its features: dvc repro --single-item --force reference")
        for seed in seeds:
            folder, samples = (seed_folder(parent / name, seeds, seed) for parent in (MODELS, SAMPLES))
            model = {
                "run": read_json(folder / "config.json"),
                "model_sha256": sha256(folder / "generator.safetensors"),
            }
            model["scores"], closest = score_samples(samples, model["run"], params, yardstick)
            rows = score_snapshots(folder, params.evaluate, yardstick)
            model["training"] = judge_training(METRICS / name / "losses.csv", seed, rows)
            models.append(model)
            curve += [{"seed": seed, **row} for row in rows]
            copies.append(closest)
        scores = average_scores([model["scores"] for model in models])
        write_bytes(METRICS / name / "closest.png", grid_png(np.concatenate(copies), CLOSEST))
        write_csv(METRICS / name / "scores.csv", list(curve[0]), curve)
        write_json(METRICS / name / "scores.json", scores)
        write_json(SCORES / name / "evaluation.json", {"scores": scores, "models": models})
        for seed, model in zip(seeds, models, strict=True):
            record(journal, name, model, [row for row in curve if row["seed"] == seed], seeds)
    print(f"evaluate: {name}: FID {scores['fid']:.2f} ± {scores['fid_margin']:.2f}", end=" ")
    print(f"(real {scores['fid_real']:.2f}), recall {scores['recall']:.2f} (real {scores['recall_real']:.2f})")


def record(
    journal: Journal, name: str, model: dict[str, Any], snapshots: list[dict[str, Any]], seeds: list[int]
) -> None:
    """Add scores to the run that trained the model, and the checkpoint that was chosen."""
    journal.join_run(name, model["model_sha256"], model["run"]["checkpoint"])
    journal.metrics(snapshots[-1]["images"], model["scores"])
    for row in snapshots:
        journal.metrics(row["images"], {f"snapshot_{key}": row[key] for key in ("fid", "inception_score")})
    if "checkpoint_images" in model["scores"]:
        folder, samples = (seed_folder(parent / name, seeds, model["run"]["seed"]) for parent in (MODELS, SAMPLES))
        files = [samples / "generator.safetensors", folder / "config.json"]
        contents = {file.name: file.read_bytes() for file in files}
        journal.model(contents, model["run"]["image_shape"], model["model_sha256"])


def judge_training(losses: Path, seed: int, snapshots: list[dict[str, Any]]) -> dict[str, float]:
    """What the curves of a seed say of its training."""
    curves = np.atleast_1d(np.genfromtxt(losses, delimiter=",", names=True))
    return {
        "gradient_left": gradient_left(curves["generator_gradient"][curves["seed"] == seed]),
        "fid_rises": rises([row["fid"] for row in snapshots]),
    }


def score_samples(
    folder: Path, run: dict[str, Any], params: Params, yardstick: Yardstick
) -> tuple[dict[str, Any], np.ndarray]:
    """All scores of a folder of samples, and the likeliest copies among them, as `score_copies` returns them."""
    classifier, inception, train, test, real, device = yardstick
    options = params.evaluate
    images = read_samples(folder / "images.npy", tuple(run["image_shape"]))
    features, logits = images_to_features(classifier, images, device)
    check_features(folder, features)
    predicted = logits.argmax(axis=1)
    scores = score(features, logits, options, real["scores"])
    test_features = read_array(REFERENCE / "test_features.npy")
    scores |= score_classes(features, predicted, test_features, test.labels, run["classes"])
    about = read_json(folder / "about.json")
    if about["label_role"] == "class":
        labels = read_labels(folder / "labels.npy", len(images), run["classes"])
        scores["label_accuracy"] = float(np.mean(predicted == labels))
        scores["label_accuracy_margin"] = mean_margin(predicted == labels)
        scores["label_accuracy_real"] = real["label_accuracy"]
        if about["translates"]:
            scores |= score_translations(folder, images, yardstick)
        else:
            scores |= real["usefulness"] | score_usefulness(params, Split(images, labels), yardstick)
    elif about["label_role"] == "code":
        codes = read_labels(folder / "codes.npy", len(images), run["classes"])
        scores |= {"code_accuracy": codes_to_accuracy(codes, predicted), "code_accuracy_real": real["label_accuracy"]}
    copies, closest = score_copies(images, features, train.images, real["copies_threshold"], options)
    scores |= copies
    if inception is not None and real["inception_scores"]:
        inception_features = images_to_inception_features(inception, images, device)
        found = features_to_scores(inception_features, read_manifold("inception"), options)
        scores |= {f"inception_{name}": value for name, value in found.items()}
        scores |= {f"{name}_real": value for name, value in real["inception_scores"].items()}
    if "checkpoint_images" in about:
        scores["checkpoint_images"] = about["checkpoint_images"]
    return scores, closest


def read_samples(path: Path, image_shape: tuple[int, ...]) -> np.ndarray:
    """uint8 images (count, channels, height, width) of that shape; raises StageError for anything else."""
    images = read_array(path)
    if images.dtype != np.uint8 or images.shape[1:] != image_shape:
        expected = f"uint8 (count, {', '.join(map(str, image_shape))})"
        raise StageError(f"{path}: expected {expected}, got {images.dtype} {images.shape}")
    return images


def read_labels(path: Path, count: int, classes: int) -> np.ndarray:
    """int64 labels or codes that samples were asked for by: (count,), 0 to classes - 1.

    Raises StageError for anything else.
    """
    labels = read_array(path)
    if labels.dtype != np.int64 or labels.shape != (count,) or labels.min() < 0 or labels.max() >= classes:
        raise StageError(
            f"{path}: expected int64 ({count},), each from 0 to {classes - 1}, got {labels.dtype} {labels.shape}"
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
    if np.ptp(features, axis=0).max() <= SAME * np.abs(features).max():
        raise StageError(f"{folder}: all samples look the same to the classifier: the generator has collapsed")


def score(features: np.ndarray, logits: np.ndarray, options: Evaluate, real: dict[str, float]) -> dict[str, Any]:
    """Every score beside what real images reach (`…_real`)."""
    return {
        **features_to_scores(features, read_manifold("test"), options),
        **logits_to_scores(logits, options),
        **{f"{name}_real": value for name, value in real.items()},
        # the one to choose settings by
        "validation_fid": features_to_fid(features, read_array(REFERENCE / "validation_features.npy")),
        "sample_count": len(features),
    }


def read_manifold(name: str) -> Manifold:
    """A manifold of test images: `test` of the classifier's features, `inception` of Inception's."""
    return Manifold(*(read_array(REFERENCE / f"{name}_{part}.npy") for part in Manifold._fields))


def score_copies(
    images: np.ndarray,
    features: np.ndarray,
    train_images: np.ndarray,
    thresholds: dict[str, float],
    options: Evaluate,
) -> tuple[dict[str, float], np.ndarray]:
    """Shares of samples that are copies of training images, in pixels and in features.

    And images in rows of CLOSEST: the likeliest copies in pixels over their training images, then those in features
    over theirs.
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
    return scores, np.concatenate(rows)


def score_usefulness(params: Params, samples: Split, yardstick: Yardstick) -> dict[str, float]:
    """What a classifier learns from samples by label alone, and beside a small set of real images."""
    _, _, train, test, _, device = yardstick
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


def score_translations(folder: Path, images: np.ndarray, yardstick: Yardstick) -> dict[str, float]:
    """Translated test images beside their true pairs, both ways, and after the whole cycle.

    L1 distances are means over pixels of images in [-1, 1]: 0 to 2.
    """
    classifier, _, train, test, _, device = yardstick
    count = len(images)
    digits = test.images[:count]
    outlines, train_outlines = (to_outline_arrays(given[:count]) for given in (test.images, train.images))
    made_outlines, cycled, cycled_outlines = (
        read_samples(folder / f"{name}.npy", images.shape[1:])
        for name in ("outlines", "cycled_images", "cycled_outlines")
    )
    made_features, features, train_features = (
        images_to_features(classifier, domain, device)[0] for domain in (made_outlines, outlines, train_outlines)
    )
    _, logits = images_to_features(classifier, digits, device)
    return {
        "outline_fid": features_to_fid(made_features, features),
        "outline_fid_real": features_to_fid(train_features, features),
        "paired_l1": images_to_l1(images, digits),
        "outline_paired_l1": images_to_l1(made_outlines, outlines),
        "cycle_l1": images_to_l1(cycled, digits),
        "outline_cycle_l1": images_to_l1(cycled_outlines, outlines),
        "label_accuracy_before": float(np.mean(logits.argmax(axis=1) == test.labels[: len(images)])),
    }


def to_outline_arrays(images: np.ndarray) -> np.ndarray:
    """Outlines of uint8 images (count, channels, height, width), as uint8."""
    return np.concatenate(
        [to_uint8(to_outlines(to_float(batch))).numpy() for batch in torch.from_numpy(images).split(1000)]
    )


def score_snapshots(folder: Path, options: Evaluate, yardstick: Yardstick) -> list[dict[str, Any]]:
    """Scores along training, against validation images: one row a snapshot."""
    snapshots = read_tensors(folder / "snapshots.safetensors")
    validation = read_array(REFERENCE / "validation_features.npy")
    rows = []
    for seen, samples in zip(snapshots["images_seen"].tolist(), snapshots["samples"].numpy(), strict=True):
        features, logits = images_to_features(yardstick.classifier, samples, yardstick.device)
        splits = min(options.inception_splits, len(samples))
        rows.append(
            {
                "images": seen,
                "fid": features_to_fid(features, validation),
                "fid_real": yardstick.real["snapshots"]["fid"],
                "inception_score": logits_to_inception_score(logits, splits, options.seed)[0],
                "inception_score_real": yardstick.real["snapshots"]["inception_score"],
            }
        )
    return rows


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
