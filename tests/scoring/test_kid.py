"""KID against closed forms and an estimate by definition, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest

from stages.scoring.image_set import ImageSet
from stages.scoring.kid import features_to_kid, kid, kid_ci95
from tests.scoring.contexts import OPTIONS, build_context


def by_definition(one: np.ndarray, other: np.ndarray) -> float:
    """Averages over ordered pairs of different images, and over all mixed pairs (Gretton et al., 2012, equation 3)."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((np.dot(x, y) / len(x) + 1) ** 3)

    def within(points: np.ndarray) -> float:
        return float(np.mean([kernel(x, y) for i, x in enumerate(points) for j, y in enumerate(points) if i != j]))

    return within(one) + within(other) - 2 * float(np.mean([kernel(x, y) for x in one for y in other]))


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(40, 6)).astype(np.float32), random.normal(0.5, 2, size=(40, 6)).astype(np.float32)


def test_kid_of_all_images_is_the_estimate_by_definition(pair: tuple[np.ndarray, np.ndarray]) -> None:
    mean, std = features_to_kid(*pair, subsets=3, subset_size=40, seed=0)
    expected = by_definition(pair[0].astype(np.float64), pair[1].astype(np.float64))
    assert mean == pytest.approx(expected, rel=1e-9)
    assert std == pytest.approx(0, abs=1e-9)  # every subset is the whole


def test_single_points_have_a_closed_form() -> None:
    """k(x, x) + k(y, y) - 2 k(x, y) with x·x = 8, y·y = 2, x·y = 4, in two dimensions."""
    one, other = np.tile([2.0, 2.0], (5, 1)), np.tile([1.0, 1.0], (5, 1))
    mean, _ = features_to_kid(one, other, subsets=1, subset_size=5, seed=0)
    assert mean == pytest.approx(5**3 + 2**3 - 2 * 3**3)


def test_equal_distributions_score_zero_on_average_and_below_at_times() -> None:
    random = np.random.default_rng(0)
    values = []
    for seed in range(60):
        one, other = random.normal(size=(2, 50, 4))
        values.append(features_to_kid(one, other, subsets=1, subset_size=50, seed=seed)[0])
    assert min(values) < 0
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_subsets_are_drawn_without_replacement_from_both_sides(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Their mean approaches the estimate from all images, and the seed decides which they are."""
    whole, _ = features_to_kid(*pair, subsets=1, subset_size=40, seed=0)
    mean, std = features_to_kid(*pair, subsets=400, subset_size=20, seed=0)
    assert mean == pytest.approx(whole, abs=4 * std / 20)
    assert std > 0
    assert features_to_kid(*pair, subsets=5, subset_size=20, seed=1) != features_to_kid(
        *pair, subsets=5, subset_size=20, seed=2
    )


@pytest.mark.parametrize("shapes", [((1, 3), (5, 3)), ((5, 3), (1, 3)), ((5, 3), (5, 4)), ((5,), (5,))])
def test_impossible_features_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        features_to_kid(np.zeros(shapes[0]), np.zeros(shapes[1]), subsets=1, subset_size=3, seed=0)


@pytest.mark.parametrize("count", [200, 1500])
def test_the_interval_covers_few_images_too(count: int) -> None:
    """Fewer images than a subset may have, or little more: as wide as the score varies from draw to draw."""
    random = np.random.default_rng(0)
    options = OPTIONS.model_copy(update={"kid_subset_size": 1000, "kid_subsets": 20})
    values, intervals = [], []
    for _ in range(40):
        samples, real = random.normal(size=(2, count, 4))
        images = ImageSet(features=samples)
        estimate = kid.compute(images, build_context(np.zeros((20, 4)), options=options, test_features=real))
        assert estimate is not None
        values.append(estimate.value)
        intervals.append(estimate.ci95)
    assert 0.6 < np.mean(np.array(intervals, float)) / (1.96 * np.std(np.array(values, float))) < 1.7


def test_the_interval_of_subsets_that_are_all_images_is_that_of_their_deviation() -> None:
    assert kid_ci95(0.5, 1000, subsets=7, subset_size=1000) == pytest.approx(1.959964 * 0.5)
    assert kid_ci95(0.5, 500, subsets=7, subset_size=1000) == pytest.approx(1.959964 * 0.5)
    quarter = (1 / 4 + 3 / 4 / 7) ** 0.5  # what a quarter of the images is worth, and the chance of seven draws
    assert kid_ci95(0.5, 4000, subsets=7, subset_size=1000) == pytest.approx(1.959964 * 0.5 * quarter)
