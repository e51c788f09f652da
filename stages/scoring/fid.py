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


def gaussians_to_fid(one: Gaussian, other: Gaussian) -> float:
    """|μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½), at least 0.

    The trace of the root is Σ √λᵢ of Σ₁^½ Σ₂ Σ₁^½, which is symmetric, so its eigenvalues are real;
    those that rounding makes negative count as 0.
    """
    values, vectors = np.linalg.eigh(one.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root @ other.covariance @ root)
    trace_of_root = np.sqrt(eigenvalues.clip(min=0)).sum()
    difference = one.mean - other.mean
    traces = np.trace(one.covariance) + np.trace(other.covariance)
    return max(0.0, float(difference @ difference + traces - 2 * trace_of_root))
