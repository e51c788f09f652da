"""How well two things agree: codes with classes, images with images."""

from __future__ import annotations

import numpy as np


def codes_to_accuracy(codes: np.ndarray, classes: np.ndarray) -> float:
    """Share of images whose class (count,) is the one their code (count,) stands for, in [0, 1].

    Each code stands for one class at most and each class for one code: the matching that makes the share largest,
    found by the Hungarian method (Kuhn, 1955). Raises ValueError where the lengths differ or are zero.
    """
    from scipy.optimize import linear_sum_assignment  # its import takes a second, which few variants need

    if codes.shape != classes.shape or not len(codes):
        raise ValueError(f"expected one class a code, got {classes.shape} and {codes.shape}")
    size = int(max(codes.max(), classes.max())) + 1
    together = np.zeros((size, size), np.int64)
    np.add.at(together, (codes, classes), 1)
    return float(together[linear_sum_assignment(together, maximize=True)].sum() / len(codes))


def images_to_l1(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of uint8 images (count, channels, height, width), as if in [-1, 1]: 0 to 2.

    Raises ValueError where the shapes differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"expected images of one shape, got {one.shape} and {other.shape}")
    return float(np.abs(one.astype(np.int16) - other).mean() / 127.5)
