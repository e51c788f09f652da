"""Image sets and contexts to score in tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from stages.config.params import load
from stages.evaluation.manifold import features_to_manifold, manifolds_to_votes
from stages.scoring.image_set import Context, ImageSet
from stages.storage.images import Split
from tests.conftest import ROOT

FEWER = {"inception_splits": 2, "kid_subsets": 2, "kid_subset_size": 100, "resamples": 20, "fid_infinity_points": 5}
OPTIONS = load(ROOT / "params.yaml").evaluate.model_copy(update=FEWER | {"neighbours": 5, "seed": 3})


def build_context(real: np.ndarray, labels: np.ndarray | None = None, **changes: Any) -> Context:
    """Test images of these features, and labels of two classes."""
    labels = np.zeros(len(real), np.int64) if labels is None else labels
    context = Context(
        options=OPTIONS,
        classes=tuple(str(label) for label in range(int(labels.max()) + 1)),
        class_shares=np.bincount(labels) / len(labels),
        test_features=real,
        test_labels=labels,
        test_squared_nearest=features_to_manifold(real, 5).squared_nearest,
        validation_features=real,
        small_set=Split(np.zeros((2, 1, 4, 4), np.uint8), np.arange(2), ("0", "1")),
        copies_thresholds={"pixels": 0.5, "features": 0.5},
        baseline={},
        train_and_test=lambda split: len(split.images) / 1000,
    )
    return dataclasses.replace(context, **changes)


def build_images(features: np.ndarray, real: np.ndarray, **given: Any) -> ImageSet:
    """Samples of these features, compared with real ones."""
    manifold = features_to_manifold(features, 5)
    votes = manifolds_to_votes(manifold, features_to_manifold(real, 5), 5)
    return ImageSet(features=features, votes=votes, squared_nearest=manifold.squared_nearest, **given)
