"""Pixels: lossless between uint8 and float, and outlines as scipy has them."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import morphological_gradient

from stages.storage.pixels import to_float, to_outlines, to_uint8


def test_every_level_survives_the_way_in_and_out() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    inside = to_float(levels)
    assert inside.dtype == torch.float32
    assert (inside.min(), inside.max()) == (-1, 1)
    assert torch.equal(to_uint8(inside), levels)


def test_values_are_rounded_to_the_nearest_level_and_clamped() -> None:
    assert to_uint8(torch.tensor([-7.0, -1 + 1.4 / 127.5, -1 + 1.6 / 127.5, 7.0])).tolist() == [0, 1, 2, 255]


def test_outlines_are_scipys_morphological_gradient() -> None:
    images = torch.randint(0, 256, (5, 1, 9, 11), dtype=torch.uint8)
    expected = np.stack(
        [morphological_gradient(image[0].numpy().astype(int), size=(3, 3), mode="nearest") for image in images]
    )
    assert np.allclose(to_outlines(to_float(images))[:, 0].numpy(), expected / 127.5 - 1, atol=1e-6)
