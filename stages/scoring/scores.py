"""All scores of one set of features against another, and how far off each may be."""

from __future__ import annotations

import numpy as np

from stages.scoring.fid import FidTo, features_to_fid_infinity, features_to_gaussian
from stages.scoring.inception_score import log_probabilities_to_inception_score, logits_to_log_probabilities
from stages.scoring.intervals import bootstrap_margin, mean_margin
from stages.scoring.kid import features_to_kid, kid_margin
from stages.scoring.manifold import Manifold, duplicates_share, features_to_manifold, manifolds_to_votes
from stages.settings.params import Evaluate


def features_to_scores(features: np.ndarray, real: Manifold, options: Evaluate) -> dict[str, float]:
    """Scores of features (images, dims) against those of real images, with their margins (`…_margin`).

    FID, FID∞, KID, precision, recall, density, coverage, duplicates.
    """
    features = features.astype(np.float64)
    reference = features_to_gaussian(real.features)
    to_reference = FidTo(reference)
    kid, kid_std = features_to_kid(
        features, real.features, subsets=options.kid_subsets, subset_size=options.kid_subset_size, seed=options.seed
    )
    samples = features_to_manifold(features, options.neighbours)
    scores = {
        "fid": to_reference(features_to_gaussian(features)),
        "fid_margin": bootstrap_margin(
            lambda chosen: to_reference(features_to_gaussian(features[chosen])),
            len(features),
            resamples=options.resamples,
            seed=options.seed,
        ),
        "fid_infinity": features_to_fid_infinity(
            features, reference, points=options.fid_infinity_points, seed=options.seed
        ),
        "kid": kid,
        "kid_std": kid_std,
        "kid_margin": kid_margin(
            kid_std,
            len(features),
            subsets=options.kid_subsets,
            subset_size=options.kid_subset_size,
        ),
        "duplicates": duplicates_share(samples, real),
    }
    for name, votes in manifolds_to_votes(samples, real, options.neighbours).items():
        scores[name], scores[f"{name}_margin"] = float(votes.mean()), mean_margin(votes)
    return scores


def logits_to_scores(logits: np.ndarray, options: Evaluate) -> dict[str, float]:
    """Inception score of logits (images, classes): mean and standard deviation over splits, and the mean's margin."""
    log_probabilities = logits_to_log_probabilities(logits)

    def score(chosen: np.ndarray) -> tuple[float, float]:
        return log_probabilities_to_inception_score(log_probabilities[chosen], options.inception_splits, options.seed)

    mean, std = score(np.arange(len(logits)))
    margin = bootstrap_margin(
        lambda chosen: score(chosen)[0], len(logits), resamples=options.resamples, seed=options.seed
    )
    return {"inception_score": mean, "inception_score_std": std, "inception_score_margin": margin}
