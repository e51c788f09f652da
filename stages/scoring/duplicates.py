"""Samples that repeat each other."""

import numpy as np

from stages.scoring.score import REAL_QUANTILE, Context, Estimate, ImageSet, score


@score(better="near", ideal=REAL_QUANTILE, format=".1%", needs=("squared_nearest",), position=110, by_inception=True)
def duplicates(images: ImageSet, context: Context) -> Estimate:
    """Share of samples that are as close to another sample as only 1 % of test images are to another."""
    threshold = np.quantile(context.test_squared_nearest, REAL_QUANTILE)
    return Estimate(float(np.mean(images.squared_nearest <= threshold)))
