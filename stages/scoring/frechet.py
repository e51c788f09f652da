"""Fréchet distance: how far apart two sets of features lie, each as a Gaussian (Heusel et al., 2017)."""

from typing import NamedTuple

import numpy as np

BLOCK = 100_000  # images whose float64 features are in memory at once


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
    count = len(features)
    blocks = [features[start : start + BLOCK] for start in range(0, count, BLOCK)]
    mean = sum(block.astype(np.float64).sum(axis=0) for block in blocks) / count
    centred = (block.astype(np.float64) - mean for block in blocks)
    return Gaussian(mean, sum(block.T @ block for block in centred) / (count - 1))


def features_to_fid(features: np.ndarray, reference: np.ndarray) -> float:
    """FID of (images, dims) features against those of reference images; raises as `features_to_gaussian` does."""
    return FidTo(features_to_gaussian(reference))(features_to_gaussian(features))


class FidTo:
    """FID of many Gaussians to one, whose root is taken once."""

    def __init__(self, reference: Gaussian) -> None:
        values, vectors = np.linalg.eigh(reference.covariance)
        self.reference = reference
        self.root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T

    def __call__(self, gaussian: Gaussian) -> float:
        """|μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½), at least 0.

        The trace of the root is Σ √λᵢ of Σ₂^½ Σ₁ Σ₂^½, which is symmetric, so its eigenvalues are real; those that
        rounding makes negative count as 0.
        """
        eigenvalues = np.linalg.eigvalsh(self.root @ gaussian.covariance @ self.root)
        trace_of_root = np.sqrt(eigenvalues.clip(min=0)).sum()
        difference = gaussian.mean - self.reference.mean
        traces = np.trace(gaussian.covariance) + np.trace(self.reference.covariance)
        return max(0.0, float(difference @ difference + traces - 2 * trace_of_root))
