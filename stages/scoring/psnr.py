"""Peak signal-to-noise ratio of translated images."""

import numpy as np

from stages.scoring.intervals import mean_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score

ROUNDING = 1 / 12  # mean squared error of rounding to whole levels: images that are closer cannot be told apart
BLOCK = 1000  # images whose differences are in memory at once


@score("PSNR", better="higher", needs=("pairs",), position=165)
def psnr(images: ImageSet, context: Context) -> Estimate:
    """Peak signal-to-noise ratio of translated images, in dB. At 20 dB the RMS error is a tenth of the range."""
    return mean_to_estimate(images_to_psnr(images.pixels, images.pairs["digits"]))


def images_to_psnr(images: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """10 log₁₀(255² / mean squared error) of each of the uint8 images (count, channels, height, width), in dB.

    Equal images get 58.9 dB, as if they differed by an error of rounding. Raises ValueError where the shapes differ.
    """
    if images.shape != originals.shape:
        raise ValueError(f"expected images of one shape, got {images.shape} and {originals.shape}")
    starts = range(0, len(images), BLOCK)
    blocks = [(images[start : start + BLOCK], originals[start : start + BLOCK]) for start in starts]
    errors = [np.square(one.astype(np.float32) - other).mean(axis=(1, 2, 3), dtype=np.float64) for one, other in blocks]
    decibels: np.ndarray = 10 * np.log10(255**2 / np.maximum(np.concatenate(errors), ROUNDING))
    return decibels
