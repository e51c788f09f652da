"""Score one variant's samples: data/samples/<variant> -> data/scores/<variant>, metrics/<variant>/scores.{json,csv}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.scoring.agreement import codes_to_accuracy, images_to_l1
from stages.scoring.features import FeatureNetwork, images_to_features, load_classifier
from stages.scoring.fid import Gaussian, features_to_gaussian, gaussians_to_fid
from stages.scoring.inception_score import logits_to_inception_score
from stages.scoring.manifold import Manifold
from stages.scoring.scores import features_to_scores
from stages.support.command import run_stage
from stages.support.device import prepare
from stages.support.errors import StageError
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
    write_csv,
    write_json,
)
from stages.support.images import read_split, to_float, to_outlines, to_uint8
from stages.support.params import Evaluate, Params
from stages.support.weights import read_tensors
from stages.tracking.journal import Journal


def main(params: Params, name: str) -> None:
    """Score the samples against test images, and the snapshots of training against validation images."""
    params.variant(name)
    device = prepare(params, params.evaluate.seed)
    model_hash = sha256(MODELS / name / "generator.safetensors")
    with Journal(params.tracking, f"evaluate-{name}") as journal:
        journal.join_run(name, model_hash)
        classifier = load_classifier(CLASSIFIER, device)
        images = read_images(SAMPLES / name / "images.npy")
        features, logits = images_to_features(classifier, images, device)
        scores = score(features, logits, params.evaluate)
        scores |= score_labels(SAMPLES / name, logits.argmax(axis=1))
        if (SAMPLES / name / "outlines.npy").exists():
            scores |= score_translations(classifier, SAMPLES / name, images, device)
        curve = score_snapshots(classifier, name, params.evaluate, device)

        write_csv(METRICS / name / "scores.csv", list(curve[0]), curve)
        write_json(METRICS / name / "scores.json", scores)
        run = read_json(MODELS / name / "config.json")
        write_json(SCORES / name / "evaluation.json", {"scores": scores, "run": run, "model_sha256": model_hash})
        journal.metrics(curve[-1]["images"], {key: value for key, value in scores.items() if isinstance(value, float)})
        for row in curve:
            journal.metrics(row["images"], {f"snapshot_{key}": row[key] for key in ("fid", "inception_score")})
    print(f"evaluate: {name}: FID {scores['fid']:.2f} (real {scores['fid_real']:.2f})", end=", ")
    print(f"inception score {scores['inception_score']:.2f} (real {scores['inception_score_real']:.2f})")


def read_images(path: Path) -> np.ndarray:
    """uint8 images (count, channels, height, width); raises StageError for anything else."""
    images = read_array(path)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise StageError(f"{path}: expected uint8 (count, channels, height, width), got {images.dtype} {images.shape}")
    return images


def score_labels(folder: Path, predicted: np.ndarray) -> dict[str, float]:
    """How often the classifier sees what was asked for: the label, or the class that a code stands for."""
    scores = {}
    if (folder / "labels.npy").exists():
        scores["label_accuracy"] = float(np.mean(predicted == read_array(folder / "labels.npy")))
    if (folder / "codes.npy").exists():
        scores["code_accuracy"] = codes_to_accuracy(read_array(folder / "codes.npy"), predicted)
    return scores


def score_translations(
    classifier: FeatureNetwork, folder: Path, images: np.ndarray, device: torch.device
) -> dict[str, float]:
    """Translated test images beside their true pairs, both ways, and after the whole cycle.

    L1 distances are means over pixels of images in [-1, 1]: 0 to 2.
    """
    test = read_split("test")
    digits = test.images[: len(images)]
    outlines = np.concatenate(
        [to_uint8(to_outlines(to_float(batch))).numpy() for batch in torch.from_numpy(digits).split(1000)]
    )
    made_outlines = read_images(folder / "outlines.npy")
    gaussians = [
        features_to_gaussian(images_to_features(classifier, domain, device)[0]) for domain in (made_outlines, outlines)
    ]
    _, logits = images_to_features(classifier, digits, device)
    return {
        "outline_fid": gaussians_to_fid(gaussians[0], gaussians[1]),
        "paired_l1": images_to_l1(images, digits),
        "outline_paired_l1": images_to_l1(made_outlines, outlines),
        "cycle_l1": images_to_l1(read_images(folder / "cycled_images.npy"), digits),
        "outline_cycle_l1": images_to_l1(read_images(folder / "cycled_outlines.npy"), outlines),
        "label_accuracy_before": float(np.mean(logits.argmax(axis=1) == test.labels[: len(images)])),
    }


def score(features: np.ndarray, logits: np.ndarray, options: Evaluate) -> dict[str, Any]:
    """Every score beside what real images reach (`…_real`), and the share of each class."""
    real = read_json(REFERENCE / "real.json")["scores"]
    test = Manifold(read_array(REFERENCE / "test_features.npy"), read_array(REFERENCE / "test_squared_radii.npy"))
    validation = features_to_gaussian(read_array(REFERENCE / "validation_features.npy"))
    inception_score, inception_score_std = logits_to_inception_score(logits, options.inception_splits, options.seed)
    shares = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1]) / len(logits)
    return {
        **features_to_scores(features, test, options),
        "inception_score": inception_score,
        "inception_score_std": inception_score_std,
        **{f"{name}_real": value for name, value in real.items()},
        "validation_fid": gaussians_to_fid(features_to_gaussian(features), validation),  # the one to choose settings by
        "sample_count": len(features),
        "class_share": {str(digit): float(share) for digit, share in enumerate(shares)},
    }


def score_snapshots(
    classifier: FeatureNetwork, name: str, options: Evaluate, device: torch.device
) -> list[dict[str, Any]]:
    """Scores along training, against validation images: one row a snapshot."""
    snapshots = read_tensors(MODELS / name / "snapshots.safetensors")
    real = read_json(REFERENCE / "real.json")["snapshot_fid"]
    validation: Gaussian = features_to_gaussian(read_array(REFERENCE / "validation_features.npy"))
    rows = []
    for seen, samples in zip(snapshots["images_seen"].tolist(), snapshots["samples"].numpy(), strict=True):
        features, logits = images_to_features(classifier, samples, device)
        splits = min(options.inception_splits, len(samples))
        rows.append(
            {
                "images": seen,
                "fid": gaussians_to_fid(features_to_gaussian(features), validation),
                "fid_real": real,
                "inception_score": logits_to_inception_score(logits, splits, options.seed)[0],
            }
        )
    return rows


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
