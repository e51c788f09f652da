"""Every score gets the right set on the right side."""

from __future__ import annotations

import numpy as np
import pytest

from stages.scoring.fid import features_to_gaussian, gaussians_to_fid
from stages.scoring.kid import features_to_kid
from stages.scoring.manifold import features_to_manifold
from stages.scoring.scores import features_to_scores
from stages.support.params import Evaluate

OPTIONS = Evaluate(inception_splits=1, kid_subsets=2, kid_subset_size=100, neighbours=5, seed=3)


def test_a_generator_that_knows_one_of_two_clusters() -> None:
    """Precise, but blind to half of what is real: the other way round, if samples and real images were swapped."""
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(0, 1, (400, 2)), random.normal(100, 1, (400, 2))])
    samples = random.normal(0, 1, (400, 2))
    scores = features_to_scores(samples, features_to_manifold(real, 5), OPTIONS)
    assert scores["precision"] > 0.9
    assert scores["recall"] == pytest.approx(0.5, abs=0.05)
    assert scores["density"] == pytest.approx(1, abs=0.15)
    assert scores["coverage"] == pytest.approx(0.5, abs=0.05)
    assert scores["fid"] == gaussians_to_fid(features_to_gaussian(samples), features_to_gaussian(real))
    expected = features_to_kid(samples, real, subsets=2, subset_size=100, seed=3)
    assert (scores["kid"], scores["kid_std"]) == expected
