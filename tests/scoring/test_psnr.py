"""PSNR against its closed form and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from stages.scoring import psnr
from stages.scoring.psnr import images_to_psnr


def test_one_level_off_everywhere_is_48_decibels() -> None:
    images = np.full((3, 1, 4, 5), 100, np.uint8)
    assert images_to_psnr(images, images + 1) == pytest.approx([20 * np.log10(255)] * 3)
    assert images_to_psnr(images + 1, images) == pytest.approx([48.1308] * 3, abs=1e-4)
    white, black = np.full((1, 1, 4, 5), 255, np.uint8), np.zeros((1, 1, 4, 5), np.uint8)
    assert images_to_psnr(white, black) == images_to_psnr(black, white) == [0.0]


def test_each_image_counts_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psnr, "BLOCK", 3 * 3 * 12 * 10)
    random = np.random.default_rng(0)
    images, originals = random.integers(0, 256, (2, 7, 3, 12, 10), np.uint8)
    originals[2] = images[2] + (images[2] < 255)
    expected = [
        peak_signal_noise_ratio(torch.from_numpy(one).double(), torch.from_numpy(other).double(), data_range=255.0)
        for one, other in zip(images, originals, strict=True)
    ]
    assert images_to_psnr(images, originals) == pytest.approx([value.item() for value in expected], rel=1e-6)


def test_equal_images_have_the_value_of_an_error_of_rounding() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28), np.uint8)
    assert images_to_psnr(images, images) == pytest.approx(10 * np.log10(255**2 * 12))
    exact = np.random.default_rng(1).random(10**6) * 255
    rounding = np.square(exact - exact.round()).mean()
    assert rounding == pytest.approx(psnr.ROUNDING, rel=0.01)


def test_images_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        images_to_psnr(np.zeros((2, 1, 4, 4), np.uint8), np.zeros((1, 1, 4, 4), np.uint8))
