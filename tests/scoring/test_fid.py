"""FID against closed forms, SciPy's matrix root, and the known-wrong root that must fail."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from stages.scoring.fid_infinity import features_to_fid_infinity, fid_infinity
from stages.scoring.frechet import FidTo, Gaussian, features_to_gaussian
from tests.scoring.contexts import build_context, build_images


def spd(seed: int, dims: int = 6) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(dims, dims))
    return root @ root.T + 0.1 * np.eye(dims)


def fid_by_definition(one: Gaussian, other: Gaussian, root: np.ndarray) -> float:
    difference = one.mean - other.mean
    return float(difference @ difference + np.trace(one.covariance + other.covariance - 2 * root))


def gaussians_to_fid(one: Gaussian, other: Gaussian) -> float:
    return FidTo(other)(one)


@pytest.fixture
def pair() -> tuple[Gaussian, Gaussian]:
    """Two Gaussians whose covariances do not commute."""
    one, other = Gaussian(np.arange(6.0), spd(0)), Gaussian(np.ones(6), spd(1))
    products = one.covariance @ other.covariance, other.covariance @ one.covariance
    assert np.abs(products[0] - products[1]).max() > 1
    return one, other


def test_equal_gaussians_have_distance_zero() -> None:
    one = Gaussian(np.arange(6.0), spd(0))
    assert FidTo(one)(one) == pytest.approx(0, abs=1e-9)


def test_equal_covariances_leave_the_squared_mean_distance() -> None:
    covariance = spd(0)
    one, other = Gaussian(np.zeros(6), covariance), Gaussian(np.full(6, 2.0), covariance)
    assert FidTo(other)(one) == pytest.approx(24, rel=1e-9)


def test_diagonal_covariances_have_the_closed_form() -> None:
    one = Gaussian(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    other = Gaussian(np.array([1.0, 0.0, 2.0]), np.diag([4.0, 4.0, 1.0]))
    assert FidTo(other)(one) == pytest.approx(5 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)


def test_noncommuting_covariances_agree_with_scipys_root(pair: tuple[Gaussian, Gaussian]) -> None:
    root = np.real(sqrtm(pair[0].covariance @ pair[1].covariance))
    assert gaussians_to_fid(*pair) == pytest.approx(fid_by_definition(*pair, root), rel=1e-9)


def test_the_element_wise_root_gives_another_number(pair: tuple[Gaussian, Gaussian]) -> None:
    wrong = np.sqrt(np.abs(pair[0].covariance @ pair[1].covariance))
    assert gaussians_to_fid(*pair) != pytest.approx(fid_by_definition(*pair, wrong), rel=0.05)


def test_distance_is_symmetric(pair: tuple[Gaussian, Gaussian]) -> None:
    assert gaussians_to_fid(*pair) == pytest.approx(gaussians_to_fid(pair[1], pair[0]), rel=1e-9)


def test_singular_covariances_are_no_trouble() -> None:
    features = np.random.default_rng(0).normal(size=(50, 4)) @ np.ones((4, 8))  # rank 1
    gaussian = features_to_gaussian(features)
    moved = Gaussian(gaussian.mean + 1, gaussian.covariance)
    assert FidTo(moved)(gaussian) == pytest.approx(8, rel=1e-5)


def test_gaussian_is_unbiased_and_float64() -> None:
    features = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)
    gaussian = features_to_gaussian(features)
    assert gaussian.mean.tolist() == [2, 4]
    assert gaussian.covariance.tolist() == [[2, 4], [4, 8]]  # divided by n - 1
    assert gaussian.covariance.dtype == np.float64


def test_large_offsets_do_not_cost_float32_precision() -> None:
    centred = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
    moved = (centred + np.float32(1000)).astype(np.float32)
    exact = np.cov(moved.astype(np.float64).T)
    assert features_to_gaussian(moved).covariance == pytest.approx(exact, rel=1e-9)


def test_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        features_to_gaussian(np.zeros((1, 4)))


def test_fid_infinity_is_free_of_the_bias_of_few_samples() -> None:
    """On average over sets, where the truth is known: 20 dimensions, means one apart, equal covariances."""
    reference = Gaussian(np.r_[1.0, np.zeros(19)], np.eye(20))
    sets = np.random.default_rng(0).normal(size=(40, 1000, 20))
    plain = [FidTo(reference)(features_to_gaussian(features)) for features in sets]
    infinite = [features_to_fid_infinity(features, reference, points=15, seed=0) for features in sets]
    assert np.mean(plain) > 1.05
    assert np.mean(infinite) == pytest.approx(1, abs=0.02)


def test_fid_infinity_is_left_out_where_the_bias_is_no_line() -> None:
    """Ten images for each dimension: fewer give a result that is far too low."""
    random = np.random.default_rng(0)
    real = random.normal(size=(500, 20))
    scores = [
        fid_infinity.compute(build_images(random.normal(size=(count, 20)), real), build_context(real))
        for count in (199, 200)
    ]
    assert scores[0] is None
    assert scores[1] is not None


def test_fid_infinity_refuses_what_no_line_goes_through() -> None:
    reference = Gaussian(np.zeros(2), np.eye(2))
    for count, points in ((9, 5), (100, 1)):
        with pytest.raises(ValueError, match="at least 10 images and 2 points"):
            features_to_fid_infinity(np.zeros((count, 2)), reference, points=points, seed=0)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.scoring.frechet.BLOCK", 10)
    features = np.random.default_rng(0).normal(5, 2, (103, 4))
    mean, covariance = features_to_gaussian(features)
    assert mean == pytest.approx(features.mean(axis=0))
    assert covariance == pytest.approx(np.cov(features.T))
