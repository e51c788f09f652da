"""Samples class by class, as the classifier sees them."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.scoring.fid import features_to_fid

LOST_SHARE = 0.3  # of an even share, below which a class counts as lost
LISTED = 100  # classes, above which scores tell of all together only


def score_classes(
    features: np.ndarray, predicted: np.ndarray, reference: np.ndarray, reference_classes: np.ndarray, count: int
) -> dict[str, Any]:
    """Shares of `count` classes among images, how uneven these are, which are lost, and the FID of each.

    Of features (images, dims) and classes (images,) as the classifier sees them, against a reference's.
    """
    shares = classes_to_shares(predicted, count)
    scores = {
        "smallest_class_share": float(shares.min()),
        "class_kl": shares_to_kl(shares),
        "classes_lost": len(shares_to_lost(shares)),
    }
    if count > LISTED:
        return scores | {"modes": int((shares > 0).sum())}
    fids = class_fids(features, predicted, reference, reference_classes)
    return scores | {
        "class_share": {str(label): float(share) for label, share in enumerate(shares)},
        "class_fid": {str(label): fid for label, fid in fids.items()},
    }


def classes_to_shares(classes: np.ndarray, count: int) -> np.ndarray:
    """Share of each of `count` classes among images' classes (images,): (count,), sums to 1."""
    return np.bincount(classes, minlength=count) / len(classes)


def shares_to_kl(shares: np.ndarray) -> float:
    """KL(shares ‖ uniform) in nats, of shares (classes,): 0 where all are even, log(classes) where there is one."""
    there = shares[shares > 0]
    return max(0.0, float((there * np.log(there * len(shares))).sum()))


def shares_to_lost(shares: np.ndarray) -> list[int]:
    """Classes of shares (classes,) that have less than 0.3 of an even share."""
    return np.flatnonzero(shares < LOST_SHARE / len(shares)).tolist()


def class_fids(
    features: np.ndarray, classes: np.ndarray, reference: np.ndarray, reference_classes: np.ndarray
) -> dict[int, float]:
    """FID of each class's images (features (images, dims), classes (images,)) against the reference's of that class.

    A class with no more images than dims on either side has none: too few for a covariance. Classes have few images
    each, and so FIDs that are larger than that of all together.
    """
    fids = {}
    for label in np.unique(reference_classes).tolist():
        one, other = features[classes == label], reference[reference_classes == label]
        if min(len(one), len(other)) > features.shape[1]:
            fids[label] = features_to_fid(one, other)
    return fids
