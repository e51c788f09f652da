"""Structural similarity of translated images (Wang et al., 2004)."""

import math

import numpy as np

from stages.scoring.intervals import mean_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score

WINDOW, SIGMA = 11, 1.5  # pixels, of the Gaussian window
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
BLOCK = 2**20  # numbers of the images whose maps are in memory at once


@score("SSIM", better="higher", format=".3f", needs=("pairs",), position=166)
def ssim(images: ImageSet, context: Context) -> Estimate | None:
    """Structural similarity of translated images and their originals: 1 where they are equal."""
    return images_to_estimate(images.pixels, images.pairs["digits"])


def images_to_estimate(images: np.ndarray, originals: np.ndarray) -> Estimate | None:
    """Mean of `images_to_ssim`; None for images that are smaller than the window."""
    return mean_to_estimate(images_to_ssim(images, originals)) if min(images.shape[2:]) >= WINDOW else None


def images_to_ssim(images: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Mean SSIM (count,) of uint8 images (count, channels, height, width), each at least 11 pixels high and wide.

    Wang et al., section III.C: at each place that an 11 × 11 Gaussian window fits into, for each channel by itself.
    Raises ValueError where the shapes differ.
    """
    if images.shape != originals.shape:
        raise ValueError(f"expected images of one shape, got {images.shape} and {originals.shape}")
    count = max(1, BLOCK // math.prod(images.shape[1:]))
    starts = range(0, len(images), count)
    blocks = [_similarity(images[start : start + count], originals[start : start + count]) for start in starts]
    return np.concatenate(blocks)


def _similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    x, y = one.astype(np.float64), other.astype(np.float64)
    down, across = (_window(size) for size in one.shape[2:])

    def local_mean(values: np.ndarray) -> np.ndarray:
        return down @ values @ across.T

    mean_x, mean_y = local_mean(x), local_mean(y)
    variances = local_mean(x * x) - mean_x**2 + local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    similarity: np.ndarray = (luminance * structure).mean(axis=(1, 2, 3))
    return similarity


def _window(size: int) -> np.ndarray:
    """(places, size): each row is the Gaussian window at one of the places that it fits into."""
    offsets = np.arange(size) - np.arange(size - WINDOW + 1)[:, None] - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA**2)) * (np.abs(offsets) <= WINDOW // 2)
    normalised: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return normalised
