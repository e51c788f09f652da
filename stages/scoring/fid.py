"""Fréchet inception distance: how far apart two sets of features lie, each as a Gaussian (Heusel et al., 2017)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Gaussian(NamedTuple):
    """float64 mean (dims,) and unbiased covariance (dims, dims)."""

    mean: np.ndarray
    covariance: np.ndarray


def features_to_gaussian(features: np.ndarray) -> Gaussian:
    """Mean and covariance of (images, dims) features, in float64: float32 sums drift.

    Raises ValueError for fewer than two images.
    """
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"expected (at least 2 images, dims), got {features.shape}")
    features = features.astype(np.float64)
    return Gaussian(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)))


def features_to_fid(features: np.ndarray, reference: np.ndarray) -> float:
    """FID of (images, dims) features against those of reference images; raises as `features_to_gaussian` does."""
    return gaussians_to_fid(features_to_gaussian(features), features_to_gaussian(reference))


def gaussians_to_fid(one: Gaussian, other: Gaussian) -> float:
    """|μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½), at least 0.

    The trace of the root is Σ √λᵢ of Σ₂^½ Σ₁ Σ₂^½, which is symmetric, so its eigenvalues are real;
    those that rounding makes negative count as 0.
    """
    return FidTo(other)(one)


class FidTo:
    """FID of many Gaussians to one, whose root is taken once."""

    def __init__(self, reference: Gaussian) -> None:
        values, vectors = np.linalg.eigh(reference.covariance)
        self.reference = reference
        self.root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T

    def __call__(self, gaussian: Gaussian) -> float:
        """See `gaussians_to_fid`."""
        eigenvalues = np.linalg.eigvalsh(self.root @ gaussian.covariance @ self.root)
        trace_of_root = np.sqrt(eigenvalues.clip(min=0)).sum()
        difference = gaussian.mean - self.reference.mean
        traces = np.trace(gaussian.covariance) + np.trace(self.reference.covariance)
        return max(0.0, float(difference @ difference + traces - 2 * trace_of_root))


def features_to_fid_infinity(features: np.ndarray, reference: Gaussian, *, points: int, seed: int) -> float:
    """FID to a reference as it would be of endlessly many images (Chong and Forsyth, 2020, section 4).

    FID of N images is too large by about a constant over N. So it is taken at `points` sizes from a fifth of the images
    to all of them, each a random choice, and a line in 1 / N is followed to 0. It is without the bias of few images,
    and so may be just below 0; what the reference's number adds stays. Raises ValueError for fewer than ten images or
    two points.
    """
    if len(features) < 10 or points < 2:
        raise ValueError(f"expected at least 10 images and 2 points, got {len(features)} and {points}")
    random = np.random.default_rng(seed)
    sizes = np.linspace(len(features) / 5, len(features), points).astype(int)
    to_reference = FidTo(reference)
    fids = [
        to_reference(features_to_gaussian(features[random.choice(len(features), size, replace=False)]))
        for size in sizes
    ]
    _, intercept = np.polyfit(1 / sizes, fids, 1)
    return float(intercept)
