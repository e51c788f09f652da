"""Manifolds of features: where samples lie among real images, and real images among samples.

The manifold of a set is the union of balls around its images' features, each reaching to the k-th nearest other image
of the set (Kynkäänniemi et al., 2019, section 2; Naeem et al., 2020, section 3). An image on the very edge of a ball is
outside, as in Naeem et al.'s code.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK = 250  # rows of a block of distances: memory grows with the images, not with their square


class Manifold(NamedTuple):
    """Features (images, dims), and float64 (images,): squared distances to the k-th nearest other and to the nearest.

    The first of them is the squared radius of an image's ball.
    """

    features: np.ndarray
    squared_radii: np.ndarray
    squared_nearest: np.ndarray


def features_to_manifold(features: np.ndarray, neighbours: int) -> Manifold:
    """Balls to the k-th nearest other image; raises ValueError unless there are more images than `neighbours`."""
    if features.ndim != 2 or len(features) <= neighbours:
        raise ValueError(f"expected (more than {neighbours} images, dims), got {features.shape}")
    squared_nearest, squared_radii = torch.empty(2, len(features), dtype=torch.float64)
    for rows, distances in _blocks(features, features):
        distances.diagonal(rows.start).fill_(torch.inf)  # an image is no neighbour of itself
        nearest = distances.topk(neighbours, dim=1, largest=False).values  # kthvalue takes ten times as long
        squared_nearest[rows], squared_radii[rows] = nearest[:, 0], nearest[:, -1]
    return Manifold(features, squared_radii.numpy(), squared_nearest.numpy())


def manifolds_to_votes(samples: Manifold, real: Manifold, neighbours: int) -> dict[str, np.ndarray]:
    """What each image says for four scores, which are the means: of manifolds made with that many neighbours.

    - precision (samples,): whether the sample lies in a real image's ball;
    - recall (real images,): whether the real image lies in a sample's ball;
    - density (samples,): how many real images' balls the sample lies in, over k: 1 where both are drawn alike;
    - coverage (real images,): whether a sample lies in the real image's ball.
    """
    real_radii, sample_radii = (torch.from_numpy(manifold.squared_radii) for manifold in (real, samples))
    real_balls = torch.zeros(len(samples.features), dtype=torch.int64)  # those each sample lies in
    recalled, covered = torch.empty(2, len(real.features), dtype=torch.bool)
    for rows, distances in _blocks(real.features, samples.features):
        in_ball = distances < real_radii[rows, None]
        real_balls += in_ball.sum(dim=0)
        covered[rows] = in_ball.any(dim=1)
        recalled[rows] = (distances < sample_radii).any(dim=1)
    return {
        "precision": (real_balls > 0).numpy(),
        "recall": recalled.numpy(),
        "density": real_balls.numpy() / neighbours,
        "coverage": covered.numpy(),
    }


def _blocks(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[slice, Tensor]]:
    """Squared Euclidean distances of some rows to all columns, after which rows these are.

    All blocks share one buffer: freed and allocated anew, each would leave a hole that the next does not fit in.
    """
    left, right = (torch.from_numpy(features).double() for features in (rows, columns))
    centre = right.mean(dim=0)  # far from the origin the difference of large squares would lose digits
    left, right = left - centre, right - centre
    squares = right.square().sum(dim=1)
    buffer = torch.empty(BLOCK, len(right), dtype=torch.float64)
    for start in range(0, len(left), BLOCK):
        block = left[start : start + BLOCK]
        distances = torch.addmm(squares, block, right.T, alpha=-2, out=buffer[: len(block)])
        yield slice(start, start + len(block)), distances.add_(block.square().sum(dim=1, keepdim=True)).clamp_(min=0)
