"""Where the pipeline's files are: every folder and file name, written once."""

import os
from collections.abc import Sequence
from pathlib import Path

CHECKED = Path("data/checked.txt")
FETCHED = Path("data/fetched")
PROCESSED = Path("data/processed")
REFERENCE = Path("data/reference")
SAMPLES = Path("data/samples")
MODELS = Path("models")
METRICS = Path("metrics")
VARIANTS = METRICS / "variants"  # a folder each: curves, scores and pictures, stored in git
TRAINING = METRICS / "training"  # a folder each: grids of samples along training, in DVC's cache
REPORT = METRICS / "report"
PAGE = "index.html"  # of the report
CLASSIFIER = MODELS / "classifier"
CHAMPION = Path("data/champion")  # the best generator

REAL_SCORES = REFERENCE / "real.json"  # the real baseline
FEATURES = REFERENCE / "features"  # of training and test images
TRAIN_FEATURES = FEATURES / "train_features.npy"
VALIDATION_FEATURES = REFERENCE / "validation_features.npy"
SUMMARY = METRICS / "summary.csv"

CONFIG = "config.json"  # of a model: what it was built from
WEIGHTS = "weights.safetensors"  # of the classifier
GENERATOR = "generator.safetensors"  # the averaged one
DISCRIMINATOR = "discriminator.safetensors"
SNAPSHOTS = "snapshots.safetensors"  # samples along training
ANIMATION = "training.gif"  # the same to look at
LOSSES = "losses.csv"
SCORES = "scores.json"  # of every model of a variant
CURVE = "scores.csv"  # scores along training
CLOSEST = "closest.png"  # samples next to training images
IMAGES = "images.npy"
LABELS = "labels.npy"
CODES = "codes.npy"
CLASSES = "classes.json"  # names of a split's classes
CHECKPOINT = "checkpoint.json"  # which weights samples were drawn with
SNAPSHOT_FEATURES = "snapshot_features.npy"
SNAPSHOT_LOGITS = "snapshot_logits.npy"
PICTURES = "pictures"

TEMPORARY = ".tmp"  # ends names of files that are being written; git ignores what a kill leaves of them


def repository() -> Path:
    """The repository; in `dvc exp run --temp` the one that the temporary copy was made from."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def stage_of(path: Path) -> str:
    """The stage that makes an output; empty for any other path."""
    stages = {FETCHED: "fetch", PROCESSED: "preprocess", CLASSIFIER: "classifier", REFERENCE: "reference"}
    of_variants = {MODELS: "train", SAMPLES: "sample", TRAINING: "train", VARIANTS: "evaluate"}
    for folder, stage in (stages | of_variants).items():
        if path != folder and path.is_relative_to(folder):
            return stage if folder in stages else f"{stage}@{path.relative_to(folder).parts[0]}"
    return ""


def seed_folder(folder: Path, seeds: Sequence[int], seed: int) -> Path:
    """Where in a variant's folder the files of one of its seeds are: those of the first seed are at its top."""
    return folder if seed == seeds[0] else folder / f"seed_{seed}"
