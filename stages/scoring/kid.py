"""Kernel inception distance: how far apart two sets of features lie (Bińkowski et al., 2018, section 4)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from stages.scoring.intervals import NORMAL_QUANTILE


def features_to_kid(
    features: np.ndarray, reference: np.ndarray, *, subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """Squared maximum mean discrepancy under the kernel (x·y / dims + 1)³, as mean and standard deviation over subsets.

    Each subset is `subset_size` rows of the features (images, dims) and as many of the reference, without replacement;
    where there are fewer rows, all of them. The estimate has no bias (Gretton et al., 2012, lemma 6), so that of two
    equal distributions is slightly negative half the time. Raises ValueError for fewer than two images, or for
    features of other dimensions than the reference's.
    """
    if features.ndim != 2 or features.shape[1:] != reference.shape[1:] or min(len(features), len(reference)) < 2:
        raise ValueError(f"expected (at least 2 images, dims) twice, got {features.shape} and {reference.shape}")
    size = min(subset_size, len(features), len(reference))
    random = np.random.default_rng(seed)
    one, other = (torch.from_numpy(images).double() for images in (features, reference))
    values = []
    for _ in range(subsets):
        chosen, compared = (
            images[torch.from_numpy(random.choice(len(images), size, replace=False))] for images in (one, other)
        )
        values.append(_discrepancy(chosen, compared))
    return float(np.mean(values)), float(np.std(values))


def kid_margin(std: float, images: int, *, subsets: int, subset_size: int) -> float:
    """1.96 standard errors of the mean over subsets of so many images (Politis and Romano, 1994, section 2).

    The discrepancy of a subset deviates by `std`, that of all images by less: the root of a subset's share of them.
    Subsets that were drawn at random add a little.
    """
    share = min(1.0, subset_size / images)
    return NORMAL_QUANTILE * std * math.sqrt(share + (1 - share) / subsets)


def _discrepancy(one: Tensor, other: Tensor) -> float:
    """Unbiased squared discrepancy of equally many rows: an image is not compared with itself."""
    count = len(one)
    within = sum(kernel.sum() - kernel.trace() for kernel in (_kernel(one, one), _kernel(other, other)))
    return float(within / (count * (count - 1)) - 2 * _kernel(one, other).mean())


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    return torch.addmm(one.new_ones(()), one, other.T, alpha=1 / one.shape[1]).pow_(3)
