"""Samples class by class: shares, divergence and FID by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy, poisson

from stages.scoring.class_fid import class_fid
from stages.scoring.class_kl import class_kl
from stages.scoring.class_share import class_share
from stages.scoring.classes_lost import classes_lost, is_lost
from stages.scoring.frechet import features_to_fid
from stages.scoring.image_set import ImageSet
from stages.scoring.modes import modes
from stages.scoring.score import Score
from stages.scoring.smallest_class_share import smallest_class_share
from tests.scoring.contexts import build_context

CONTEXT = build_context(np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 10)


def value_of(score: Score, classes: np.ndarray, count: int) -> float:
    """A score of images in which the classifier sees these classes, of so many."""
    even = build_context(np.random.default_rng(0).normal(size=(2 * count, 2)), np.arange(2 * count) % count)
    estimate = score.compute(ImageSet(logits=np.eye(count)[classes]), even)
    assert estimate is not None
    assert isinstance(estimate.value, float | int)
    return estimate.value


def test_shares_count_classes_that_no_sample_has() -> None:
    assert ImageSet(logits=np.eye(5)[[0, 0, 2, 3]]).class_shares.tolist() == [0.5, 0, 0.25, 0.25, 0]
    assert value_of(smallest_class_share, np.array([0, 0, 2, 3]), 5) == 0
    estimate = class_share.compute(ImageSet(logits=np.eye(10)[[3, 3, 3, 1]]), CONTEXT)
    assert estimate is not None
    assert estimate.value == {str(digit): {3: 0.75, 1: 0.25}.get(digit, 0) for digit in range(10)}


def test_divergence_from_even_data() -> None:
    assert value_of(class_kl, np.arange(10), 10) == 0
    assert value_of(class_kl, np.full(7, 3), 10) == pytest.approx(np.log(10))
    expected = entropy([0.5, 0, 0.25, 0.25], np.full(4, 0.25))
    assert value_of(class_kl, np.array([0, 0, 2, 3]), 4) == pytest.approx(expected)


def test_lost_classes_have_less_than_a_third_of_their_due() -> None:
    counts = [29, 31, 0, 134, 134, 134, 134, 134, 135, 135]
    assert value_of(classes_lost, np.repeat(np.arange(10), counts), 10) == 2  # the first and the third


def test_a_class_is_lost_where_the_classifier_finds_it_in_real_images_and_chance_would_not_leave_it_out() -> None:
    labels = np.repeat([0, 1, 2], [400, 60, 60])
    real = {"class_share": {"value": {"0": 0.9, "1": 0.1, "2": 0.0}}}
    context = build_context(np.random.default_rng(0).normal(size=(520, 2)), labels, baseline=real)
    found = {}
    for counts in ((180, 20, 0), (200, 0, 0), (50, 0, 0)):
        estimate = classes_lost.compute(ImageSet(logits=np.eye(3)[np.repeat([0, 1, 2], counts)]), context)
        found[counts] = estimate.value if estimate else None
    # the classifier does not see class 2 in real images either; of class 1 twenty are due, and five
    assert found == {(180, 20, 0): 0, (200, 0, 0): 1, (50, 0, 0): 0}


@pytest.mark.parametrize(("found", "due"), [(0, 6.8), (0, 7.0), (1, 9.0), (1, 9.5), (5, 18.0), (300, 1100.0)])
def test_chance_is_that_of_a_poisson_distribution(found: int, due: float) -> None:
    samples = 10_000
    assert is_lost(found / samples, due / samples, samples) == bool(poisson.cdf(found, due) < 1e-3)


def test_classes_of_few_samples_are_lost_together() -> None:
    """A generator of three of a thousand classes; ten samples of each are due."""
    context = build_context(np.random.default_rng(0).normal(size=(1000, 2)), np.arange(1000))
    estimate = classes_lost.compute(ImageSet(logits=np.eye(1000)[np.arange(10_000) % 3]), context)
    assert estimate is not None
    assert estimate.value == 997


def test_uneven_data_are_the_measure_of_uneven_samples() -> None:
    labels = np.repeat([0, 1], [380, 30])
    context = build_context(np.random.default_rng(0).normal(size=(410, 2)), labels)
    same, lost = ImageSet(logits=np.eye(2)[labels]), ImageSet(logits=np.eye(2)[labels * 0])
    even = ImageSet(logits=np.eye(2)[np.arange(410) % 2])
    found = {
        score.name: [estimate.value for images in (same, lost, even) if (estimate := score.compute(images, context))]
        for score in (class_kl, classes_lost)
    }
    assert found["classes_lost"] == [0, 1, 0]
    assert found["class_kl"] == pytest.approx([0, np.log(410 / 380), entropy([0.5, 0.5], [380 / 410, 30 / 410])])


def test_a_class_that_the_data_lack_leaves_the_divergence_finite() -> None:
    context = build_context(np.random.default_rng(0).normal(size=(8, 2)), np.repeat([0, 2], 4))
    estimate = class_kl.compute(ImageSet(logits=np.eye(3)[[1, 1]]), context)
    assert estimate is not None
    assert estimate.value == pytest.approx(np.log(1e6))


def test_a_class_needs_more_images_than_features_have_dimensions() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [6, 5])  # in five dimensions
    real, features = random.normal(size=(11, 5)), random.normal(size=(11, 5))
    estimate = class_fid.compute(ImageSet(features=features, logits=np.eye(2)[labels]), build_context(real, labels))
    assert estimate is not None
    assert isinstance(estimate.value, dict)
    assert set(estimate.value) == {"0"}


def test_each_class_is_compared_with_its_own() -> None:
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 3, 600), random.integers(0, 3, 500)
    predicted[predicted == 2] = 1  # the generator never makes a 2
    real = random.normal(size=(600, 4)) + 5 * labels[:, None]
    features = random.normal(size=(500, 4)) + 5 * predicted[:, None] + (predicted == 1)[:, None]
    estimate = class_fid.compute(ImageSet(features=features, logits=np.eye(3)[predicted]), build_context(real, labels))
    assert estimate is not None
    fids = estimate.value
    assert isinstance(fids, dict)
    assert set(fids) == {"0", "1"}
    assert fids["0"] < 0.3
    assert fids["1"] == pytest.approx(4, abs=0.7)  # moved by one in each of four dimensions
    assert fids["1"] == features_to_fid(features[predicted == 1], real[labels == 1])


def test_many_classes_are_counted_and_not_listed() -> None:
    """As in stacked MNIST; a hundred classes are still listed."""
    for count, counted in ((101, True), (100, False)):
        context = build_context(np.zeros((count, 2)) + np.arange(count)[:, None], np.arange(count))
        images = ImageSet(features=np.zeros((4, 2)), logits=np.eye(count)[[7, 7, 99, 0]])
        found = modes.compute(images, context)
        assert (found is not None and found.value == 3) == counted
        for listed in (class_share, class_fid):
            assert (listed.compute(images, context) is None) == counted
