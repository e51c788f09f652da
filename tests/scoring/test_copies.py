"""Copies of training images: closer to one of them than nearly all test images are."""

from __future__ import annotations

import numpy as np
import pytest

from stages.scoring.copies_features import copies_features
from stages.scoring.copies_pixels import copies_pixels
from stages.scoring.image_set import ImageSet
from stages.scoring.score import Score
from tests.scoring.contexts import build_context

REAL = np.random.default_rng(0).normal(size=(20, 2))


@pytest.mark.parametrize(("score", "space"), [(copies_pixels, "pixels"), (copies_features, "features")])
@pytest.mark.parametrize(
    ("ratios", "threshold", "share"),
    [
        ([0.0, 0.2, 0.6, 0.9], 0.5, 0.5),
        ([0.0, 0.0, 0.0, 0.0], 0.0, 1.0),  # data that hold every image twice: so are test images, and so are copies
        ([0.0, 0.1, 0.2, 0.3], 0.0, 0.25),
    ],
)
def test_ratios_up_to_the_threshold_count(
    score: Score, space: str, ratios: list[float], threshold: float, share: float
) -> None:
    other = {"pixels": "features", "features": "pixels"}[space]
    context = build_context(REAL, copies_thresholds={space: threshold, other: 2.0})
    images = ImageSet(nearest_ratios={space: np.array(ratios), other: np.ones(4)})
    estimate = score.compute(images, context)
    assert estimate is not None
    assert estimate.value == share
