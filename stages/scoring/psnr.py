"""Peak signal-to-noise ratio of translated images."""

import math

import numpy as np

from stages.scoring.intervals import mean_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score

ROUNDING = 1 / 12  # mean squared error of rounding to whole levels: the least that counts
BLOCK = 2**22  # numbers of the images whose differences are in memory at once


@score("PSNR", better="higher", needs=("pairs",), position=165)
def psnr(images: ImageSet, context: Context) -> Estimate:
    """Peak signal-to-noise ratio of translated images, in dB. At 20 dB the RMS error is a tenth of the range."""
    return mean_to_estimate(images_to_psnr(images.pixels, images.pairs["digits"]))


def images_to_psnr(images: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """10 log₁₀(255² / mean squared error) of each of the uint8 images (count, channels, height, width), in dB.

    The mean squared error counts as at least that of rounding, 1/12: equal images get 58.9 dB.
    Raises ValueError where the shapes differ.
    """
    if images.shape != originals.shape:
        raise ValueError(f"expected images of one shape, got {images.shape} and {originals.shape}")
    count = max(1, BLOCK // math.prod(images.shape[1:]))
    blocks = [
        (images[start : start + count], originals[start : start + count]) for start in range(0, len(images), count)
    ]
    errors = [np.square(one.astype(np.float32) - other).mean(axis=(1, 2, 3), dtype=np.float64) for one, other in blocks]
    decibels: np.ndarray = 10 * np.log10(255**2 / np.maximum(np.concatenate(errors), ROUNDING))
    return decibels
