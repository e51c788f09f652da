"""Copies of training images, in features."""

import numpy as np

from stages.scoring.score import REAL_QUANTILE, Context, Estimate, ImageSet, score


@score("copies in features", better="near", ideal=REAL_QUANTILE, format=".1%", needs=("nearest_ratios",), position=131)
def copies_features(images: ImageSet, context: Context) -> Estimate:
    """Share of samples that are likely copies of a training image in features. Among test images it is 1 %."""
    return Estimate(float(np.mean(images.nearest_ratios["features"] <= context.copies_thresholds["features"])))
