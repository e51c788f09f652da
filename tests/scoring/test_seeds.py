"""Scores over seeds: against SciPy's interval, and against what it promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from stages.scoring.intervals import student_ci95
from stages.scoring.seeds import average_scores


def test_the_interval_is_students() -> None:
    values = np.random.default_rng(0).normal(5, 2, 4)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert student_ci95(values) == pytest.approx((high - low) / 2)


def test_the_interval_holds_the_truth_19_times_in_20() -> None:
    sets = np.random.default_rng(0).normal(1.0, 3.0, (4000, 3))
    held = [abs(values.mean() - 1.0) <= student_ci95(values) for values in sets]
    assert np.mean(held) == pytest.approx(0.95, abs=0.012)


def test_scores_of_seeds_become_means_with_intervals_of_their_own() -> None:
    seeds: list[dict[str, Any]] = [
        {
            "fid": {"value": fid, "ci95": 0.1, "real": 0.5},
            "fid_infinity": {"value": 1.5 * fid - 0.5},
            "class_share": {"value": share, "real": {"0": 0.5, "1": 0.5}},
            "classes_lost": {"value": lost, "real": 0},
        }
        for fid, share, lost in ((1.0, {"0": 0.2, "1": 0.8}, 0), (2.0, {"0": 0.4}, 1), (3.0, {"0": 0.6, "1": 0.4}, 1))
    ]
    averages = average_scores(seeds)
    assert averages["fid"]["value"] == 2
    assert averages["fid"]["ci95"] == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)  # t of two degrees of freedom
    assert averages["fid"]["real"] == 0.5
    means = {"0": pytest.approx(0.4), "1": pytest.approx(0.6)}  # of the two that have it
    assert averages["class_share"] == {"value": means, "real": {"0": 0.5, "1": 0.5}}
    assert averages["classes_lost"] == {"value": pytest.approx(2 / 3), "real": 0}  # a count has no interval
    assert averages["fid_infinity"]["value"] == pytest.approx(2.5)
    assert averages["fid_infinity"]["ci95"] == pytest.approx(averages["fid"]["ci95"] * 1.5)  # spread as much again


def test_scores_of_one_seed_stay_as_they_are() -> None:
    scores = {"fid": {"value": 1.0, "ci95": 0.1}}
    assert average_scores([scores]) == scores
