"""One variant trained with several seeds: its scores on average, and how sure of that average one may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.scoring.intervals import student_margin


def average_scores(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds of all numbers, nested ones too; every score that varies gets the margin of its mean.

    Such a margin (`…_margin`) holds the luck of training as well as that of sampling, for the test images at hand. Of
    one seed, scores stay as they are.
    """
    first, *others = scores
    if not others:
        return first
    averages: dict[str, Any] = {}
    for key, value in first.items():
        values = [of_one[key] for of_one in scores]
        if isinstance(value, dict):
            averages[key] = _average_items(values)
        elif not key.endswith("_margin"):
            averages[key] = _mean(values)
            varies = isinstance(value, float) and len(set(values)) > 1 and not key.endswith("_std")
            if varies or f"{key}_margin" in first:
                averages[f"{key}_margin"] = student_margin(np.array(values))
    return averages


def _average_items(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means of the items of several mappings, each of those that have it: a class lost has no FID."""
    keys = dict.fromkeys(key for of_one in values for key in of_one)
    return {key: _mean([of_one[key] for of_one in values if key in of_one]) for key in keys}


def _mean(values: Sequence[Any]) -> Any:
    return values[0] if len(set(values)) == 1 else float(np.mean(values))
