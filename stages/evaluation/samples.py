"""What the sample stage wrote of one model, checked: images, labels or codes, and what else a translator drew."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.config.errors import StageError
from stages.evaluation.evaluator import Evaluator
from stages.scoring.image_set import ImageSet
from stages.storage import paths
from stages.storage.files import read_array
from stages.storage.pixels import to_uint8_outlines


def read_samples(path: Path, image_shape: tuple[int, ...]) -> np.ndarray:
    """At least two uint8 images (count, channels, height, width) of that shape; raises StageError for anything else."""
    images = read_array(path, mapped=True)
    if images.dtype != np.uint8 or images.shape[1:] != image_shape:
        expected = f"uint8 (count, {', '.join(map(str, image_shape))})"
        raise StageError(f"{path}: expected {expected}, got {images.dtype} {images.shape}")
    if len(images) < 2:
        raise StageError(f"{path}: {len(images)} samples are too few: expected at least 2")
    return images


def read_labels(path: Path, count: int, classes: int) -> np.ndarray:
    """int64 labels or codes (count,) of samples, 0 to classes - 1; raises StageError for anything else."""
    labels = read_array(path)
    if labels.dtype != np.int64 or labels.shape != (count,) or labels.min() < 0 or labels.max() >= classes:
        expected = f"int64 ({count},), each from 0 to {classes - 1}"
        found = f", from {labels.min()} to {labels.max()}" if labels.size else ""
        raise StageError(f"{path}: expected {expected}, got {labels.dtype} {labels.shape}{found}")
    return labels


def read_given(folder: Path, run: Mapping[str, Any], images: np.ndarray, evaluator: Evaluator) -> dict[str, Any]:
    """What an ImageSet is given besides pixels: labels, codes, a training set, and what the generator offers.

    config.json (`run`) says which of them there are.
    """
    given: dict[str, Any] = {}
    if run["label_meaning"] == "class":
        given["labels"] = read_labels(folder / paths.LABELS, len(images), len(run["classes"]))
    elif run["label_meaning"] == "code":
        given["codes"] = read_labels(folder / paths.CODES, len(images), run["variant"]["gan"]["categories"])
    if "labels" in given and run["starts_from"] == "latents":  # of test images a classifier must not learn
        given["training_set"] = evaluator.train._replace(images=images, labels=given["labels"])
    return given | {name: READERS[name](folder, images, evaluator) for name in run["offers"]}


def read_pairs(folder: Path, images: np.ndarray, evaluator: Evaluator) -> dict[str, np.ndarray]:
    """The test images that a translator's samples were made from, and the classes that the classifier sees in them."""
    digits = evaluator.test.images[: len(images)]
    return {"digits": digits, "digit_classes": evaluator.features_and_logits(digits)[1].argmax(axis=1)}


def read_cycles(folder: Path, images: np.ndarray, evaluator: Evaluator) -> dict[str, np.ndarray]:
    """Outlines of test images, what a two-way translator made of both, and the classifier's features of outlines."""
    digits, train_digits = evaluator.test.images[: len(images)], evaluator.train.images[: len(images)]
    made, cycled_digits, cycled_outlines = (
        read_samples(folder / f"{name}.npy", images.shape[1:])
        for name in ("outlines", "cycled_images", "cycled_outlines")
    )
    outlines, train_outlines = (to_uint8_outlines(torch.from_numpy(each)).numpy() for each in (digits, train_digits))
    return {
        "outlines": outlines,
        "outline_features": evaluator.features_and_logits(outlines)[0],
        "train_outline_features": evaluator.features_and_logits(train_outlines)[0],
        "made_outlines": made,
        "made_outline_features": evaluator.features_and_logits(made)[0],
        "cycled_digits": cycled_digits,
        "cycled_outlines": cycled_outlines,
    }


def read_bicubic(folder: Path, images: np.ndarray, evaluator: Evaluator) -> ImageSet:
    """Bicubic enlargements of the sources that a translator's samples were made from."""
    enlarged = read_samples(folder / "bicubic.npy", images.shape[1:])
    return ImageSet(pixels=enlarged, features=evaluator.features_and_logits(enlarged)[0])


# what a generator may offer to scores, besides samples
READERS: Mapping[str, Callable[[Path, np.ndarray, Evaluator], Any]] = {
    "pairs": read_pairs,
    "cycles": read_cycles,
    "bicubic": read_bicubic,
}


def check_features(folder: Path, features: np.ndarray) -> None:
    """Raise StageError for features (images, dims) that are not finite."""
    if not np.isfinite(features).all():
        raise StageError(f"{folder}: features of samples are not finite; is models/classifier whole?")
