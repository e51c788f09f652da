"""FID of endlessly many samples (Chong and Forsyth, 2020)."""

import numpy as np

from stages.scoring.frechet import FidTo, Gaussian, features_to_gaussian
from stages.scoring.score import Context, Estimate, ImageSet, score

FEWEST = 10  # images, for each dimension of the features: a fifth of them are two


@score("FID∞", position=11, by_inception=True)
def fid_infinity(images: ImageSet, context: Context) -> Estimate | None:
    """FID as with endlessly many samples: it compares across sample counts. It needs ten samples a feature."""
    if len(images.features) < FEWEST * images.features.shape[1]:
        return None
    options, test = context.options, features_to_gaussian(context.test_features)
    points = options.fid_infinity_points
    return Estimate(features_to_fid_infinity(images.features, test, points=points, seed=options.seed))


def features_to_fid_infinity(features: np.ndarray, reference: Gaussian, *, points: int, seed: int) -> float:
    """FID to a reference, extrapolated to endlessly many images (section 4).

    FID of N images is too large by about a constant over N. So it is computed at `points` sizes from a fifth of the
    images to all of them, each a random choice, and a line in 1 / N is followed to 0. The result lacks the bias of few
    images, so it may be just below 0; the bias of the reference's count stays. With fewer than ten images for each
    dimension the bias is no line, and the result is far too low. Raises ValueError for fewer than ten images or two
    points.
    """
    if len(features) < FEWEST or points < 2:
        raise ValueError(f"expected at least {FEWEST} images and 2 points, got {len(features)} and {points}")
    random = np.random.default_rng(seed)
    sizes = np.linspace(len(features) / 5, len(features), points).astype(int)
    to_reference = FidTo(reference)
    fids = [
        to_reference(features_to_gaussian(features[random.choice(len(features), size, replace=False)]))
        for size in sizes
    ]
    _, intercept = np.polyfit(1 / sizes, fids, 1)
    return float(intercept)
