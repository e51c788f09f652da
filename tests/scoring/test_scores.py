"""Every score gets the right set on the right side."""

from __future__ import annotations

import numpy as np
import pytest

from stages.scoring.fid import features_to_fid, features_to_fid_infinity, features_to_gaussian
from stages.scoring.inception_score import logits_to_inception_score
from stages.scoring.intervals import mean_margin
from stages.scoring.kid import features_to_kid, kid_margin
from stages.scoring.manifold import features_to_manifold
from stages.scoring.scores import features_to_scores, logits_to_scores
from stages.settings.params import load
from tests.conftest import ROOT

FEWER = {"inception_splits": 2, "kid_subsets": 2, "kid_subset_size": 100, "resamples": 20, "fid_infinity_points": 5}
OPTIONS = load(ROOT / "params.yaml").evaluate.model_copy(update=FEWER | {"neighbours": 5, "seed": 3})


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
    assert scores["fid"] == pytest.approx(features_to_fid(samples, real))
    infinity = features_to_fid_infinity(samples, features_to_gaussian(real), points=5, seed=3)
    assert scores["fid_infinity"] == pytest.approx(infinity)
    expected = features_to_kid(samples, real, subsets=2, subset_size=100, seed=3)
    assert (scores["kid"], scores["kid_std"]) == expected
    assert scores["kid_margin"] == kid_margin(expected[1], 400, subsets=2, subset_size=100)
    assert scores["recall_margin"] == pytest.approx(mean_margin(np.arange(800) < 800 * scores["recall"]))
    for name in ("fid", "density", "recall", "coverage"):
        assert 0 < scores[f"{name}_margin"] < 0.2 * scores[name]


def test_inception_score_has_a_margin() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (400, 10))
    scores = logits_to_scores(logits, OPTIONS)
    assert (scores["inception_score"], scores["inception_score_std"]) == logits_to_inception_score(logits, 2, 3)
    assert 0.02 < scores["inception_score_margin"] < 0.5
