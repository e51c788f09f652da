"""Images between disk and networks: lossless both ways, and grids as they are looked at."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from stages.support.images import grid_png, to_float, to_uint8


def test_every_level_survives_the_way_in_and_out() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    inside = to_float(levels)
    assert (inside.min(), inside.max()) == (-1, 1)
    assert torch.equal(to_uint8(inside), levels)


def test_values_beyond_the_range_are_clamped() -> None:
    assert to_uint8(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_images_in_reading_order(channels: int, scale: int) -> None:
    images = np.zeros((3, channels, 4, 4), np.uint8)
    for index, level in enumerate((50, 100, 150)):
        images[index] = level
    picture = np.asarray(Image.open(io.BytesIO(grid_png(images, columns=2, scale=scale))).convert("L"))
    assert picture.shape == (11 * scale, 11 * scale)
    picture = picture[scale - 1 :: scale, ::scale]
    assert [int(picture[y, x]) for y, x in ((3, 3), (3, 8), (8, 3), (8, 8))] == [50, 100, 150, 0]
