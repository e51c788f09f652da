"""All scores of one set of features against another."""

from __future__ import annotations

import numpy as np

from stages.scoring.fid import features_to_gaussian, gaussians_to_fid
from stages.scoring.kid import features_to_kid
from stages.scoring.manifold import Manifold, features_to_manifold, manifolds_to_scores
from stages.support.params import Evaluate


def features_to_scores(features: np.ndarray, real: Manifold, options: Evaluate) -> dict[str, float]:
    """FID, KID, precision, recall, density and coverage of features (images, dims) against those of real images."""
    kid, kid_std = features_to_kid(
        features, real.features, subsets=options.kid_subsets, subset_size=options.kid_subset_size, seed=options.seed
    )
    samples = features_to_manifold(features, options.neighbours)
    return {
        "fid": gaussians_to_fid(features_to_gaussian(features), features_to_gaussian(real.features)),
        "kid": kid,
        "kid_std": kid_std,
        **manifolds_to_scores(samples, real, options.neighbours),
    }
