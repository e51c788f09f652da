"""Samples of several classes, in given proportions."""

import numpy as np


def spread(total: int, sizes: np.ndarray) -> np.ndarray:
    """Indices of classes (total,), in proportion to their sizes (classes,), evenly spread: equal ones come in turn.

    The largest remainders round up. `spread(6, [3, 2, 1])` is [0 1 0 0 1 2].
    """
    counts, remainders = np.divmod(total * sizes, sizes.sum())
    counts[np.argsort(-remainders, kind="stable")[: total - counts.sum()]] += 1
    classes = np.repeat(np.arange(len(sizes)), counts)
    turns = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)  # of each class, from 0
    # the n-th of a class belongs at (n + offset) / size: the offsets let classes of equal size take turns
    return classes[np.argsort((turns + (classes + 0.5) / len(sizes)) / sizes[classes], kind="stable")]
