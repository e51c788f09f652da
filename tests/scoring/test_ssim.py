"""SSIM against the paper's formula, one window at a time, and against torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from stages.scoring import ssim
from stages.scoring.ssim import images_to_estimate, images_to_ssim


def pairs(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Random images, and the same with noise."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *shape))
    noise = random.normal(0, 1, images.shape) * np.linspace(0, 120, count)[:, None, None, None]
    return images.astype(np.uint8), (images + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 17), (1, 11, 11)])
def test_it_is_that_of_torchmetrics(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssim, "BLOCK", 4 * math.prod(shape))
    images, others = pairs(9, shape)
    one, other = (torch.from_numpy(array).double() for array in (images, others))
    _, everywhere = structural_similarity_index_measure(
        one, other, data_range=255.0, reduction="none", return_full_image=True
    )
    expected = everywhere[:, :, 5:-5, 5:-5].mean(dim=(1, 2, 3)).numpy()  # where no window leaves the image
    found = images_to_ssim(images, others)
    assert found == pytest.approx(expected, abs=1e-9)
    assert found[0] == pytest.approx(1)
    assert (found[1:] < found[0]).all()
    assert found == pytest.approx(images_to_ssim(others, images))


def test_it_is_the_papers_formula_window_by_window() -> None:
    ((image,),), ((other,),) = (array[2:3] for array in pairs(3, (1, 13, 12)))
    row = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(row, row) / np.outer(row, row).sum()
    found = []
    for top in range(3):
        for left in range(2):
            x, y = (array[top : top + 11, left : left + 11].astype(float) for array in (image, other))
            mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
            variances = (weights * (x - mean_x) ** 2).sum() + (weights * (y - mean_y) ** 2).sum()
            covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            below = (mean_x**2 + mean_y**2 + c1) * (variances + c2)
            found.append((2 * mean_x * mean_y + c1) * (2 * covariance + c2) / below)
    assert images_to_ssim(image[None, None], other[None, None]) == pytest.approx([np.mean(found)], rel=1e-9)


def test_images_smaller_than_the_window_have_no_score_and_other_shapes_are_refused() -> None:
    small, large = np.zeros((2, 1, 10, 28), np.uint8), np.zeros((2, 1, 11, 28), np.uint8)
    assert images_to_estimate(small, small) is None
    assert images_to_estimate(large, large) == (1.0, 0.0, None, None)
    with pytest.raises(ValueError, match="one shape"):
        images_to_ssim(large, large[:1])
