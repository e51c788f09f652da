"""Which checkpoint to sample from: the last, or the best by FID to validation images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from stages.evaluation.feature_network import images_to_features, load_classifier
from stages.scoring.frechet import features_to_fid
from stages.storage.files import read_array, write_array, write_json
from stages.storage.paths import (
    CHECKPOINT,
    CLASSIFIER,
    SNAPSHOT_FEATURES,
    SNAPSHOT_LOGITS,
    SNAPSHOTS,
    VALIDATION_FEATURES,
)
from stages.storage.weights import read_tensors


def choose_checkpoint(model: Path, samples: Path, rule: str, device: torch.device) -> int | None:
    """Images seen at the snapshot with the lowest FID to validation images; None where the last weights are wanted.

    Writes the choice, and the classifier's features and logits of all snapshots, which the evaluation reads.
    """
    snapshots = read_tensors(model / SNAPSHOTS)
    classifier = load_classifier(CLASSIFIER, device)
    outputs = [images_to_features(classifier, images, device) for images in snapshots["samples"].numpy()]
    features, logits = (np.stack(arrays) for arrays in zip(*outputs, strict=True))
    write_array(samples / SNAPSHOT_FEATURES, features)
    write_array(samples / SNAPSHOT_LOGITS, logits)
    images_seen = snapshots["images_seen"].tolist()
    chosen = len(images_seen) - 1
    if rule == "best":
        validation = read_array(VALIDATION_FEATURES)
        chosen = int(np.argmin([features_to_fid(of_one, validation) for of_one in features]))
    write_json(samples / CHECKPOINT, {"images": images_seen[chosen], "rule": rule})
    return images_seen[chosen] if rule == "best" else None
