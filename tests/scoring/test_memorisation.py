"""Nearest training images by definition; copies are found and new images are not taken for some."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from stages.scoring import memorisation
from stages.scoring.memorisation import copies_share, copies_threshold, find_nearest, to_points


def test_nearest_are_those_by_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks that do not divide the points, and far from the origin."""
    monkeypatch.setattr(memorisation, "BLOCK", 64)
    random = np.random.default_rng(0)
    points, others = (random.normal(300, 2, (count, 7)).astype(np.float32) for count in (150, 400))
    distances = cdist(points.astype(np.float64), others.astype(np.float64))
    found = find_nearest(points, others)
    nearest = np.sort(distances, axis=1)
    assert found.indices.tolist() == distances.argmin(axis=1).tolist()
    assert found.ratios == pytest.approx(nearest[:, 0] / nearest[:, 1], rel=1e-12)
    assert np.array_equal(others, np.random.default_rng(0).normal(300, 2, (550, 7)).astype(np.float32)[150:])


def test_bytes_do_not_wrap_around() -> None:
    points, others = np.array([[0, 255]], np.uint8), np.array([[255, 0], [3, 251], [0, 245]], np.uint8)
    found = find_nearest(points, others)
    assert (found.ratios.tolist(), found.indices.tolist()) == ([0.5], [1])


def test_an_exact_copy_of_what_is_there_twice_counts() -> None:
    others = np.array([[5, 5], [5, 5], [9, 9]], np.uint8)
    assert find_nearest(others[:1], others).ratios.tolist() == [0]


def test_copies_are_told_from_new_images() -> None:
    random = np.random.default_rng(0)
    train, test, new = (random.integers(0, 256, (500, 1, 6, 6)).astype(np.uint8) for _ in range(3))
    noisy_copies = np.clip(train[:100].astype(int) + random.integers(-3, 4, (100, 1, 6, 6)), 0, 255).astype(np.uint8)
    threshold = copies_threshold(find_nearest(to_points(test), to_points(train)))
    samples = np.concatenate([noisy_copies, new[:100]])
    found = find_nearest(to_points(samples), to_points(train))
    assert copies_share(found, threshold) == pytest.approx(0.5, abs=0.03)
    assert found.indices[:100].tolist() == list(range(100))


def test_one_in_a_hundred_test_images_stays_below_the_threshold() -> None:
    random = np.random.default_rng(0)
    found = find_nearest(*random.normal(size=(2, 1000, 3)).astype(np.float32))
    assert copies_share(found, copies_threshold(found)) == 0.01
