"""Fréchet inception distance (Heusel et al., 2017), by the features of the pipeline's classifier."""

import numpy as np

from stages.scoring.frechet import FidTo, features_to_gaussian
from stages.scoring.intervals import bootstrap_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("FID", position=10, by_inception=True)
def fid(images: ImageSet, context: Context) -> Estimate:
    """Distance between the features of samples and of test images, each taken as a Gaussian. The report ranks by it."""
    to_test = FidTo(features_to_gaussian(context.test_features))

    def statistic(chosen: np.ndarray) -> float:
        return to_test(features_to_gaussian(images.features[chosen]))

    return bootstrap_to_estimate(statistic, len(images.features), context.options)
