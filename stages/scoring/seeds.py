"""One variant trained with several seeds: its mean scores, and how sure one may be of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.scoring.intervals import student_ci95

Record = Mapping[str, Any]


def average_scores(scores: Sequence[Mapping[str, Record]]) -> dict[str, Record]:
    """Records of mean scores over seeds, from the records of each; with one seed they stay as they are.

    `ci95` is then Student's: it covers training noise as well as sampling noise, for the test images at hand.
    """
    if not scores:
        return {}
    first, *others = scores
    return {name: _average([of_seed[name] for of_seed in scores]) if others else first[name] for name in first}


def _average(records: Sequence[Record]) -> Record:
    """Means of records; of values a class, each over the seeds that have it: a class without samples has no FID."""
    values = [record["value"] for record in records]
    if isinstance(values[0], Mapping):
        names = dict.fromkeys(name for value in values for name in value)
        means = {name: _mean([value[name] for value in values if name in value]) for name in names}
        return {**records[0], "value": means}
    average = {key: _mean([record[key] for record in records]) for key in records[0] if key != "ci95"}
    if "ci95" in records[0] or (len(set(values)) > 1 and isinstance(values[0], float)):  # a count has no interval
        average["ci95"] = student_ci95(np.array(values))
    return average


def _mean(values: Sequence[float]) -> float:
    return values[0] if len(set(values)) == 1 else float(np.mean(values))
