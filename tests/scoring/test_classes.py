"""Samples class by class: shares, divergence and FID by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from stages.scoring.classes import class_fids, classes_to_shares, shares_to_kl, shares_to_lost
from stages.scoring.fid import features_to_fid


def test_shares_count_classes_that_no_sample_has() -> None:
    assert classes_to_shares(np.array([0, 0, 2, 3]), 5).tolist() == [0.5, 0, 0.25, 0.25, 0]


def test_divergence_from_uniform() -> None:
    assert shares_to_kl(np.full(10, 0.1)) == 0
    assert shares_to_kl(np.eye(10)[3]) == pytest.approx(np.log(10))
    shares = np.array([0.5, 0, 0.25, 0.25])
    assert shares_to_kl(shares) == pytest.approx(entropy(shares, np.full(4, 0.25)))


def test_lost_classes_have_less_than_a_third_of_their_due() -> None:
    shares = np.array([0.029, 0.031, 0.0] + [0.94 / 7] * 7)
    assert shares_to_lost(shares) == [0, 2]


def test_each_class_is_compared_with_its_own() -> None:
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 3, 600), random.integers(0, 3, 500)
    predicted[predicted == 2] = 1  # the generator never makes a 2
    real = random.normal(size=(600, 4)) + 5 * labels[:, None]
    features = random.normal(size=(500, 4)) + 5 * predicted[:, None] + (predicted == 1)[:, None]
    fids = class_fids(features, predicted, real, labels)
    assert set(fids) == {0, 1}
    assert fids[0] < 0.3
    assert fids[1] == pytest.approx(4, abs=0.7)  # moved by one in each of four dimensions
    assert fids[1] == features_to_fid(features[predicted == 1], real[labels == 1])
