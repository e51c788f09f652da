"""Classes in given proportions: by hand, and by what must hold."""

from __future__ import annotations

import numpy as np
import pytest

from stages.contracts.shares import spread


@pytest.mark.parametrize(
    ("total", "sizes", "expected"),
    [
        (10, [1, 1], [5, 5]),
        (10, [380, 30], [9, 1]),
        (5, [1, 1, 1], [2, 2, 1]),
        (3, [1, 0, 5], [1, 0, 2]),
        (0, [3], [0]),
    ],
)
def test_counts_are_in_proportion_and_the_largest_remainders_round_up(
    total: int, sizes: list[int], expected: list[int]
) -> None:
    assert np.bincount(spread(total, np.array(sizes)), minlength=len(sizes)).tolist() == expected


def test_equal_classes_come_in_turn() -> None:
    assert spread(7, np.ones(3, np.int64)).tolist() == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("sizes", [[800, 150, 50], [500, *[5] * 100]], ids=["few", "one large, many small"])
def test_every_stretch_has_about_the_shares_of_the_whole(sizes: list[int]) -> None:
    classes = spread(1000, np.array(sizes))
    assert np.bincount(classes).tolist() == sizes
    for stretch in classes.reshape(10, 100):
        assert np.abs(np.bincount(stretch, minlength=len(sizes)) - np.array(sizes) / 10).max() <= 1
