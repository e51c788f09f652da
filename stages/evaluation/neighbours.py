"""Nearest training images: are samples new, or copies of training images?

What counts is the distance to the nearest training image over that to the second nearest: plain digits have many near
neighbours, a copy has one.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

ROWS = 250  # points whose distances are taken at once, at most
LARGEST_BLOCK = 2**26  # float32 numbers of points, or of others: 256 MiB


class Nearest(NamedTuple):
    """The nearest of others to each point: its index (points,), and its distance over the second nearest's, 0 to 1."""

    indices: np.ndarray
    ratios: np.ndarray


def find_nearest(points: np.ndarray, others: np.ndarray) -> Nearest:
    """Nearest of others (others, …), at least two, to each point (points, …): float32 features or uint8 images.

    Both neighbours are looked for in float32, and their distances taken in float64. An image that the others hold
    twice is a copy of both: its ratio is 0.
    """
    left, right = (torch.from_numpy(array).flatten(1) for array in (points, others))
    return _compare_two(left, right, _find_two(left, right))


def _find_two(points: Tensor, others: Tensor) -> Tensor:
    """The two nearest of others (others, dims) to each point (points, dims), in float32: indices (points, 2)."""
    dims = points.shape[1]
    centre = others[:1000].float().mean(dim=0)  # far from the origin the difference of large squares would lose digits
    rows, columns = (max(2, min(most, LARGEST_BLOCK // dims)) for most in (ROWS, len(others)))
    distances, neighbours = torch.full((len(points), 2), torch.inf), torch.zeros(len(points), 2, dtype=torch.int64)
    for first in range(0, len(others), columns):
        block = others[first : first + columns].to(torch.float32, copy=True).sub_(centre)
        squares, buffer = block.square().sum(dim=1), torch.empty(rows, len(block))
        for start in range(0, len(points), rows):
            some = slice(start, start + rows)
            points_there = points[some].float() - centre
            # squared distances without the points' own squares, which change no order
            found = torch.addmm(squares, points_there, block.T, alpha=-2, out=buffer[: len(points_there)])
            near = found.topk(min(2, len(block)), dim=1, largest=False)
            nearest = torch.cat([distances[some], near.values], dim=1)
            distances[some], order = nearest.topk(2, dim=1, largest=False)
            neighbours[some] = torch.cat([neighbours[some], near.indices + first], dim=1).gather(1, order)
    return neighbours


def _compare_two(points: Tensor, others: Tensor, neighbours: Tensor) -> Nearest:
    """The nearer of two neighbours (points, 2) of each point, by distances in float64."""
    indices, ratios = [], []
    few = max(1, min(ROWS, LARGEST_BLOCK // (8 * points.shape[1])))  # two neighbours each, of eight bytes per number
    for start in range(0, len(points), few):
        some = slice(start, start + few)
        exact = (others[neighbours[some]].double() - points[some, None].double()).norm(dim=2)
        exact, order = exact.sort(dim=1)
        indices.append(neighbours[some].gather(1, order)[:, 0])
        ratios.append(torch.where(exact[:, 1] > 0, exact[:, 0] / exact[:, 1], 0))
    return Nearest(torch.cat(indices).numpy(), torch.cat(ratios).numpy())
