"""What the curves of a training say about it, as numbers; the report turns them into words."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

PARTS = 10  # of a training, whose medians are compared
RISE = 1.25  # of FID from one snapshot to the next, beyond which it counts as one


def gradient_left(gradients: np.ndarray) -> float:
    """Median gradient norm of the generator in the last tenth of a training, as a share of the largest tenth's.

    Near 0 the generator has stopped learning: under a saturating objective because the discriminator has won
    (Goodfellow et al., 2014, section 3; Arjovsky and Bottou, 2017, theorem 2.4).
    """
    medians = [float(np.median(part)) for part in np.array_split(gradients, PARTS) if len(part)]
    return medians[-1] / max(medians) if max(medians) > 0 else 0.0


def rises(fids: Sequence[float]) -> int:
    """How often FID rose by more than a quarter from one snapshot to the next; twice is an oscillation."""
    return sum(later > RISE * earlier for earlier, later in pairwise(fids))
