"""Nearest training images: are samples new, or copies of training images?

What counts is the distance to the nearest training image over that to the second nearest: plain digits have many near
neighbours, a copy has one.
"""

from typing import NamedTuple

import numpy as np
import torch

BLOCK = 250  # rows of a block of distances


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
    centre = right[:1000].float().mean(dim=0)  # far from the origin the difference of large squares would lose digits
    centred = right.to(torch.float32, copy=True).sub_(centre)
    squares = centred.square().sum(dim=1)
    buffer = torch.empty(BLOCK, len(right))
    indices, ratios = [], []
    for rows in left.split(BLOCK):
        block = rows.float() - centre
        distances = torch.addmm(squares, block, centred.T, alpha=-2, out=buffer[: len(block)])
        two = distances.topk(2, dim=1, largest=False).indices
        exact = (right[two].double() - rows[:, None].double()).norm(dim=2)
        exact, order = exact.sort(dim=1)
        indices.append(two.gather(1, order)[:, 0])
        ratios.append(torch.where(exact[:, 1] > 0, exact[:, 0] / exact[:, 1], 0))
    return Nearest(torch.cat(indices).numpy(), torch.cat(ratios).numpy())
