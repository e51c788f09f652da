"""Scores over seeds: against SciPy's interval, and against what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from stages.scoring.intervals import student_margin
from stages.scoring.seeds import average_scores


def test_the_margin_is_students() -> None:
    values = np.random.default_rng(0).normal(5, 2, 4)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert student_margin(values) == pytest.approx((high - low) / 2)


def test_the_interval_holds_the_truth_19_times_in_20() -> None:
    sets = np.random.default_rng(0).normal(1.0, 3.0, (4000, 3))
    held = [abs(values.mean() - 1.0) <= student_margin(values) for values in sets]
    assert np.mean(held) == pytest.approx(0.95, abs=0.012)


def test_scores_of_seeds_become_means_with_margins_of_their_own() -> None:
    seeds = [
        {
            "fid": fid,
            "fid_margin": 0.1,
            "fid_infinity": 1.5 * fid - 0.5,
            "fid_real": 0.5,
            "sample_count": 9,
            "class_share": share,
            "classes_lost": lost,
        }
        for fid, share, lost in ((1.0, {"0": 0.2, "1": 0.8}, 0), (2.0, {"0": 0.4}, 1), (3.0, {"0": 0.6, "1": 0.4}, 1))
    ]
    averages = average_scores(seeds)
    assert averages["fid"] == 2
    assert averages["fid_margin"] == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)  # t of two degrees of freedom
    assert (averages["fid_real"], averages["sample_count"]) == (0.5, 9)
    assert averages["class_share"] == {"0": pytest.approx(0.4), "1": pytest.approx(0.6)}  # of the two that have it
    assert averages["classes_lost"] == pytest.approx(2 / 3)
    assert averages["fid_infinity"] == pytest.approx(2.5)
    assert averages["fid_infinity_margin"] == pytest.approx(averages["fid_margin"] * 1.5)  # spread as much again
    assert "classes_lost_margin" not in averages  # a count


def test_scores_of_one_seed_stay_as_they_are() -> None:
    scores = {"fid": 1.0, "fid_margin": 0.1}
    assert average_scores([scores]) == scores
