"""Precision, recall, density and coverage: where samples lie among real images, and real images among samples.

The manifold of a set is the union of balls around its images' features, each reaching to the k-th nearest other image
of the set (Kynkäänniemi et al., 2019, section 2; Naeem et al., 2020, section 3). An image on the very edge of a ball is
outside, as in Naeem et al.'s code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK = 250  # rows of a block of distances: memory grows with the images, not with their square


class Manifold(NamedTuple):
    """Features (images, dims), and the square of each ball's radius (images,), float64."""

    features: np.ndarray
    squared_radii: np.ndarray


def features_to_manifold(features: np.ndarray, neighbours: int) -> Manifold:
    """Balls to the k-th nearest other image; raises ValueError unless there are more images than `neighbours`."""
    if features.ndim != 2 or len(features) <= neighbours:
        raise ValueError(f"expected (more than {neighbours} images, dims), got {features.shape}")
    radii = []
    for start, distances in _blocks(features, features):
        rows = torch.arange(len(distances))
        distances[rows, start + rows] = torch.inf  # an image is no neighbour of itself
        nearest = distances.topk(neighbours, dim=1, largest=False).values  # kthvalue takes ten times as long
        radii.append(nearest[:, -1])
    return Manifold(features, torch.cat(radii).numpy())


def manifolds_to_scores(samples: Manifold, real: Manifold, neighbours: int) -> dict[str, float]:
    """The four scores, of manifolds made with that many neighbours.

    - precision: share of samples in at least one real image's ball, in [0, 1];
    - recall: share of real images in at least one sample's ball, in [0, 1];
    - density: how many real images' balls a sample lies in, over k: 1 on average where both are drawn alike;
    - coverage: share of real images with at least one sample in their ball, in [0, 1].
    """
    real_radii, sample_radii = (torch.from_numpy(manifold.squared_radii) for manifold in (real, samples))
    real_balls = torch.zeros(len(samples.features), dtype=torch.int64)  # those each sample lies in
    recalled, covered = [], []
    for start, distances in _blocks(real.features, samples.features):
        in_ball = distances < real_radii[start : start + len(distances), None]
        real_balls += in_ball.sum(dim=0)
        covered.append(in_ball.any(dim=1))
        recalled.append((distances < sample_radii).any(dim=1))
    return {
        "precision": _share(real_balls > 0),
        "recall": _share(torch.cat(recalled)),
        "density": float(real_balls.double().mean() / neighbours),
        "coverage": _share(torch.cat(covered)),
    }


def _blocks(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[int, Tensor]]:
    """Squared Euclidean distances of some rows to all columns, with the first of these rows' index."""
    left, right = (torch.from_numpy(features).double() for features in (rows, columns))
    centre = right.mean(dim=0)  # far from the origin the difference of large squares would lose digits
    left, right = left - centre, right - centre
    squares = right.square().sum(dim=1)
    for start in range(0, len(left), BLOCK):
        block = left[start : start + BLOCK]
        distances = torch.addmm(squares, block, right.T, alpha=-2)
        yield start, distances.add_(block.square().sum(dim=1, keepdim=True)).clamp_(min=0)


def _share(holds: Tensor) -> float:
    return float(holds.double().mean())
