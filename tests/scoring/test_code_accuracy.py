"""Codes against classes, images against images."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from stages.scoring.code_accuracy import codes_to_accuracy
from stages.scoring.paired_l1 import images_to_l1


def test_renamed_classes_agree_wholly() -> None:
    classes = np.arange(40) % 10
    assert codes_to_accuracy((classes * 3 + 4) % 10, classes) == 1.0


def test_the_matching_is_the_best_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        codes, classes = rng.integers(0, 5, 60), rng.integers(0, 5, 60)
        best = max(np.mean(np.array(order)[codes] == classes) for order in permutations(range(5)))
        assert codes_to_accuracy(codes, classes) == pytest.approx(best)


def test_two_codes_cannot_stand_for_one_class() -> None:
    assert codes_to_accuracy(np.array([0, 0, 1, 1]), np.array([7, 7, 7, 7])) == 0.5


@pytest.mark.parametrize(
    ("codes", "classes"), [(np.zeros(3, int), np.zeros(2, int)), (np.zeros(0, int), np.zeros(0, int))]
)
def test_codes_without_classes_are_refused(codes: np.ndarray, classes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one class a code"):
        codes_to_accuracy(codes, classes)


def test_l1_is_measured_in_floats_from_minus_one_to_one() -> None:
    black, white = np.zeros((2, 1, 4, 4), np.uint8), np.full((2, 1, 4, 4), 255, np.uint8)
    half = white.copy()
    half[0] = 0
    assert images_to_l1(black, white) == images_to_l1(white, black) == 2.0
    assert images_to_l1(half, white) == 1.0
    assert images_to_l1(white, white) == 0.0
    with pytest.raises(ValueError, match="one shape"):
        images_to_l1(black, white[:1])
