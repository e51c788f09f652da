"""Sizes of strided networks: halved until they are small."""

from __future__ import annotations

import pytest

from stages.config.errors import StageError
from stages.contracts.network import halved_sizes


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((28, 28), [(28, 28), (14, 14), (7, 7), (3, 3)]),
        ((64, 64), [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]),
        ((9, 20), [(9, 20), (4, 10)]),
        ((5, 5), [(5, 5), (2, 2)]),
    ],
)
def test_sizes_are_halved_until_a_side_is_at_most_four(size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    assert halved_sizes(*size) == expected


@pytest.mark.parametrize("size", [(4, 28), (28, 4), (1, 1)])
def test_images_of_at_most_four_pixels_a_side_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(StageError, match=f"{size[0]}×{size[1]} pixels are too small"):
        halved_sizes(*size)
