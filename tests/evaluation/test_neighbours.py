"""Nearest training images by definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from stages.evaluation import neighbours
from stages.evaluation.neighbours import find_nearest


@pytest.mark.parametrize("largest_block", [2**26, 7 * 64, 7 * 2])
def test_nearest_are_those_by_definition(largest_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks that do not divide the points or the others, and far from the origin."""
    monkeypatch.setattr(neighbours, "ROWS", 64)
    monkeypatch.setattr(neighbours, "LARGEST_BLOCK", largest_block)
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
