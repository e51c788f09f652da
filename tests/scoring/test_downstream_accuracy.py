"""Classifiers taught by samples: good samples teach, wrong labels do not, and a batch mixes its sources."""

from __future__ import annotations

import numpy as np
import torch

from stages.config.params import load
from stages.evaluation.classifier_training import learn_and_test
from stages.scoring.augmented_accuracy import join_evenly
from stages.storage.images import Split
from tests.conftest import ROOT

NETWORK = {"channels": 1, "height": 8, "width": 8, "base": 4, "features": 8, "classes": 2}
CLASSIFIER = load(ROOT / "params.yaml").classifier
OPTIONS = CLASSIFIER.model_copy(
    update={"batch_size": 32, "learning_rate": 0.01, "weight_decay": 0.0, "shift_pixels": 0}
)
CONFIG = {"network": NETWORK, "training": OPTIONS.model_dump(exclude={"images"})}


def bars(count: int, seed: int) -> Split:
    """Images of one bright row (class 0) or one bright column (class 1)."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    images = random.integers(0, 60, (count, 1, 8, 8)).astype(np.uint8)
    for image, label, place in zip(images, labels, random.integers(0, 8, count), strict=True):
        if label:
            image[0, :, place] = 255
        else:
            image[0, place] = 255
    return Split(images, labels, ("row", "column"))


def test_what_a_classifier_learns_is_what_its_labels_say() -> None:
    train, test = bars(400, seed=0), bars(300, seed=1)
    turned = Split(train.images, 1 - train.labels, ("row", "column"))
    accuracies = [learn_and_test(given, test, CONFIG, 3200, torch.device("cpu")) for given in (train, train, turned)]
    assert accuracies[0] > 0.97
    assert accuracies[0] == accuracies[1]
    assert accuracies[2] < 0.03


def test_sets_of_different_sizes_have_equal_halves() -> None:
    few, many = bars(3, seed=0), bars(10, seed=1)
    joined = join_evenly(few, many)
    assert len(joined.images) == len(joined.labels) == 20
    assert np.array_equal(joined.images[10:], many.images)
    assert np.array_equal(joined.images[:10], few.images[[0, 1, 2, 0, 1, 2, 0, 1, 2, 0]])
    assert joined.labels.tolist() == [*np.resize(few.labels, 10), *many.labels]
