"""Copies of training images, in pixels."""

import numpy as np

from stages.scoring.score import REAL_QUANTILE, Context, Estimate, ImageSet, score


@score("copies in pixels", better="near", ideal=REAL_QUANTILE, format=".1%", needs=("nearest_ratios",), position=130)
def copies_pixels(images: ImageSet, context: Context) -> Estimate:
    """Share of samples that are likely copies of a training image in pixels. Among test images it is 1 %."""
    return Estimate(float(np.mean(images.nearest_ratios["pixels"] <= context.copies_thresholds["pixels"])))
