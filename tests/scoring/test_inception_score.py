"""Inception score against its extremes and a computation by the definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from stages.scoring.inception_score import inception_score, logits_to_inception_score
from tests.scoring.contexts import build_context, build_images


def test_uniform_probabilities_score_one() -> None:
    mean, std = logits_to_inception_score(np.zeros((1000, 10)), splits=10, seed=0)
    assert (mean, std) == (pytest.approx(1, abs=1e-12), pytest.approx(0, abs=1e-12))


def test_sure_and_balanced_predictions_score_the_number_of_classes() -> None:
    logits = 1000.0 * np.eye(10)[np.arange(1000) % 10]
    mean, std = logits_to_inception_score(logits, splits=1, seed=0)
    assert mean == pytest.approx(10, rel=1e-9)
    assert std == 0


def test_sure_predictions_of_one_class_score_one() -> None:
    logits = np.zeros((100, 10))
    logits[:, 3] = 1000
    assert logits_to_inception_score(logits, splits=2, seed=0)[0] == pytest.approx(1)


def test_agrees_with_scipys_entropy_split_by_split() -> None:
    logits = np.random.default_rng(1).normal(scale=2, size=(103, 7))
    probabilities = softmax(logits[np.random.default_rng(5).permutation(103)], axis=1)
    parts = np.array_split(probabilities, 4)
    scores = [np.exp(np.mean([entropy(row, part.mean(axis=0)) for row in part])) for part in parts]
    mean, std = logits_to_inception_score(logits, splits=4, seed=5)
    assert mean == pytest.approx(np.mean(scores), rel=1e-9)
    assert std == pytest.approx(np.std(scores), rel=1e-9)


def test_order_of_sorted_samples_does_not_matter() -> None:
    # samples of a conditional variant come class by class; unshuffled splits would see one class each
    logits = 1000.0 * np.eye(10)[np.repeat(np.arange(10), 100)]
    assert logits_to_inception_score(logits, splits=10, seed=0)[0] > 9


def test_fewer_images_than_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be split"):
        logits_to_inception_score(np.zeros((3, 10)), splits=4, seed=0)


def test_as_many_images_are_scored_as_the_real_baseline_has() -> None:
    """Of forty classes in a row, all sure: of more images per split, more classes would be seen."""
    random = np.random.default_rng(0)
    real, features = random.normal(size=(200, 4)), random.normal(size=(2000, 4))
    logits = 1000.0 * np.eye(40)[np.repeat(np.arange(40), 50)]
    context = build_context(real)
    whole, steps = (
        inception_score.compute(build_images(of, real, logits=seen), context)
        for of, seen in ((features, logits), (features[:200], logits[::10]))
    )
    assert whole is not None
    assert steps is not None
    assert whole.value == steps.value == pytest.approx(37, abs=3)
    assert logits_to_inception_score(logits, 2, 0)[0] > 39
