"""Samples that repeat each other."""

import numpy as np

from stages.scoring.score import REAL_QUANTILE, Context, Estimate, ImageSet, score


@score(better="near", ideal=REAL_QUANTILE, format=".1%", needs=("squared_nearest",), position=110, by_inception=True)
def duplicates(images: ImageSet, context: Context) -> Estimate:
    """Share of samples with a very close twin: of as many real images, 1 % have one as close."""
    others = (len(context.test_squared_nearest) - 1) / max(len(images.squared_nearest) - 1, 1)
    quantile = 1 - (1 - REAL_QUANTILE) ** others  # each other image is within the threshold with equal probability
    threshold = np.quantile(context.test_squared_nearest, quantile)
    return Estimate(float(np.mean(images.squared_nearest <= threshold)))
