"""Confidence intervals against closed forms, against SciPy's bootstrap, and against what new draws really do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from stages.scoring.frechet import FidTo, Gaussian, features_to_gaussian
from stages.scoring.intervals import NORMAL_QUANTILE, bootstrap_to_estimate, mean_to_estimate
from stages.scoring.kid import features_to_kid, kid_ci95
from tests.scoring.contexts import OPTIONS


def bootstrap_ci95(statistic: Callable[[np.ndarray], float], count: int, *, resamples: int, seed: int) -> float:
    options = OPTIONS.model_copy(update={"resamples": resamples, "seed": seed})
    estimate = bootstrap_to_estimate(statistic, count, options)
    assert estimate.value == statistic(np.arange(count))
    assert estimate.ci95 is not None
    return estimate.ci95


def test_the_quantile_is_that_of_a_95_percent_interval() -> None:
    assert pytest.approx(norm.ppf(0.975), abs=1e-6) == NORMAL_QUANTILE


def test_the_interval_of_a_mean_is_what_its_bootstrap_tends_to() -> None:
    values = np.random.default_rng(0).gamma(2, 1, 500)
    half = bootstrap_ci95(lambda chosen: values[chosen].mean(), 500, resamples=4000, seed=0)
    assert mean_to_estimate(values).ci95 == pytest.approx(1.96 * values.std() / np.sqrt(500), rel=1e-4)
    assert half == pytest.approx(mean_to_estimate(values).ci95, rel=0.05)


def test_the_bootstrap_is_scipys() -> None:
    """For a statistic without a simple closed form, up to the resamples drawn."""
    values = np.random.default_rng(0).gamma(2, 1, 300)
    theirs = bootstrap((values,), np.median, n_resamples=4000, vectorized=True, random_state=1).standard_error
    ours = bootstrap_ci95(lambda chosen: float(np.median(values[chosen])), 300, resamples=4000, seed=0)
    assert ours == pytest.approx(1.96 * theirs, rel=0.05)


def test_the_seed_decides() -> None:
    values = np.arange(50.0)
    halves = [bootstrap_ci95(lambda chosen: values[chosen].mean(), 50, resamples=10, seed=seed) for seed in (0, 0, 1)]
    assert halves[0] == halves[1] != halves[2]


def test_fid_of_new_samples_deviates_by_its_interval() -> None:
    """The bootstrap of one set foretells how FID varies over many sets."""
    random = np.random.default_rng(0)
    to_reference = FidTo(Gaussian(np.full(5, 0.5), np.diag([1.0, 2.0, 3.0, 4.0, 5.0])))
    sets = random.normal(size=(300, 400, 5))
    spread = 1.96 * np.std([to_reference(features_to_gaussian(features)) for features in sets])

    def half(features: np.ndarray) -> float:
        return bootstrap_ci95(
            lambda chosen: to_reference(features_to_gaussian(features[chosen])), 400, resamples=100, seed=0
        )

    halves = [half(features) for features in sets[:20]]
    assert np.mean(halves) == pytest.approx(spread, rel=0.15)


def test_kid_of_new_images_deviates_by_its_interval() -> None:
    random = np.random.default_rng(0)
    values, halves = [], []
    for seed in range(150):
        one, other = random.normal(size=(400, 4)), random.normal(0.6, 1, size=(400, 4))
        kid, std = features_to_kid(one, other, subsets=20, subset_size=80, seed=seed)
        values.append(kid)
        halves.append(kid_ci95(std, 400, subsets=20, subset_size=80))
    assert np.mean(halves) == pytest.approx(1.96 * np.std(values), rel=0.2)
