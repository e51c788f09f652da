"""One variant trained with several seeds: its scores on average, and how sure of that average one may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.scoring.intervals import student_margin


def average_scores(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds of the numbers that all have, nested ones too; a score's `…_margin` becomes that of its mean.

    This one holds the luck of training as well as that of sampling. Of one seed, scores stay as they are.
    """
    first, *others = scores
    if not others:
        return first
    averages: dict[str, Any] = {}
    for key in first:
        values = [of_one[key] for of_one in scores if key in of_one]
        score = key.removesuffix("_margin")
        if len(values) < len(scores):
            continue
        if isinstance(values[0], dict):
            averages[key] = average_scores(values)
        elif score != key:
            averages[key] = student_margin(np.array([of_one[score] for of_one in scores]))
        else:
            averages[key] = values[0] if len(set(values)) == 1 else float(np.mean(values))
    return averages
