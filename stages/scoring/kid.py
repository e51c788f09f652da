"""Kernel inception distance (Bińkowski et al., 2018, section 4), by the features of the pipeline's classifier."""

import math

import numpy as np

from stages.scoring.intervals import NORMAL_QUANTILE
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("KID", format=".3f", position=20, by_inception=True)
def kid(images: ImageSet, context: Context) -> Estimate:
    """Distance between features of samples and test images, of any distribution. Unbiased: it may be just below 0."""
    subsets, size, seed = context.options.kid_subsets, context.options.kid_subset_size, context.options.seed
    size = max(2, min(size, len(images.features) // 2, len(context.test_features) // 2))  # equal subsets do not deviate
    mean, std = features_to_kid(images.features, context.test_features, subsets=subsets, subset_size=size, seed=seed)
    return Estimate(mean, kid_ci95(std, len(images.features), subsets=subsets, subset_size=size), std)


def features_to_kid(
    features: np.ndarray, reference: np.ndarray, *, subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """Squared maximum mean discrepancy under the kernel (x·y / dims + 1)³, as mean and standard deviation over subsets.

    Each subset is `subset_size` rows of the features (images, dims) and as many of the reference, without replacement;
    where there are fewer rows, all of them. The estimate is unbiased (Gretton et al., 2012, lemma 6), so that of two
    equal distributions is slightly negative half the time. Raises ValueError for fewer than two images, or for
    features of other dimensions than the reference's.
    """
    import torch

    if features.ndim != 2 or features.shape[1:] != reference.shape[1:] or min(len(features), len(reference)) < 2:
        raise ValueError(f"expected (at least 2 images, dims) twice, got {features.shape} and {reference.shape}")
    size = min(subset_size, len(features), len(reference))
    random = np.random.default_rng(seed)
    both = [torch.from_numpy(images) for images in (features, reference)]
    values = []
    for _ in range(subsets):
        indices = [torch.from_numpy(random.choice(len(images), size, replace=False)) for images in both]
        chosen = [images[some].double() for images, some in zip(both, indices, strict=True)]
        one, other, between = (
            torch.addmm(left.new_ones(()), left, right.T, alpha=1 / left.shape[1]).pow_(3)
            for left, right in ((chosen[0], chosen[0]), (chosen[1], chosen[1]), (chosen[0], chosen[1]))
        )
        within = sum(kernel.sum() - kernel.trace() for kernel in (one, other))  # no image is compared with itself
        values.append(float(within / (size * (size - 1)) - 2 * between.mean()))
    return float(np.mean(values)), float(np.std(values))


def kid_ci95(std: float, images: int, *, subsets: int, subset_size: int) -> float:
    """1.96 standard errors of the mean over subsets of so many images (Politis and Romano, 1994, section 2).

    The discrepancy of a subset deviates by `std`, that of all images by less: the root of a subset's share of them.
    Subsets that were drawn at random add a little.
    """
    share = min(1.0, subset_size / images)
    return NORMAL_QUANTILE * std * math.sqrt(share + (1 - share) / subsets)
