"""Repeats are told from images that are merely alike; copies from new images."""

from __future__ import annotations

import numpy as np
import pytest

from stages.evaluation.neighbours import find_nearest
from stages.scoring.copies_pixels import copies_pixels
from stages.scoring.duplicates import duplicates
from stages.scoring.image_set import ImageSet
from stages.scoring.score import REAL_QUANTILE
from tests.scoring.contexts import build_context, build_images


def duplicates_of(samples: np.ndarray, real: np.ndarray) -> float:
    estimate = duplicates.compute(build_images(samples, real), build_context(real))
    assert estimate is not None
    assert isinstance(estimate.value, float)
    return estimate.value


def test_duplicates_are_told_from_images_that_are_merely_alike() -> None:
    random = np.random.default_rng(0)
    real, samples = (random.normal(size=(1000, 6)) for _ in range(2))
    assert duplicates_of(real, real) == pytest.approx(0.01, abs=0.0011)  # one image may lie on the border
    assert duplicates_of(samples, real) == pytest.approx(0.01, abs=0.01)
    few = np.repeat(random.normal(size=(50, 6)), 20, axis=0) + 1e-3 * random.normal(size=(1000, 6))
    assert duplicates_of(few, real) == 1


@pytest.mark.parametrize("count", [200, 4000])
def test_duplicates_are_as_rare_among_fewer_and_more_samples(count: int) -> None:
    random = np.random.default_rng(0)
    found = [duplicates_of(random.normal(size=(count, 6)), random.normal(size=(1000, 6))) for _ in range(10)]
    assert 0.006 < np.mean(found) < 0.018  # and not a fifth of it, or four times as much


def test_copies_are_told_from_new_images() -> None:
    random = np.random.default_rng(0)
    train, test, new = (random.integers(0, 256, (500, 1, 6, 6)).astype(np.uint8) for _ in range(3))
    noisy_copies = np.clip(train[:100].astype(int) + random.integers(-3, 4, (100, 1, 6, 6)), 0, 255).astype(np.uint8)
    threshold = float(np.quantile(find_nearest(test, train).ratios, REAL_QUANTILE))
    found = find_nearest(np.concatenate([noisy_copies, new[:100]]), train)
    real = random.normal(size=(20, 2))
    context = build_context(real, copies_thresholds={"pixels": threshold, "features": 0.0})
    estimate = copies_pixels.compute(ImageSet(nearest_ratios={"pixels": found.ratios}), context)
    assert estimate is not None
    assert estimate.value == pytest.approx(0.5, abs=0.03)
    assert found.indices[:100].tolist() == list(range(100))
