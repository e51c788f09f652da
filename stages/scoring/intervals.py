"""How far off a score may be because other images might have been drawn: half the width of a 95 % interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

NORMAL_QUANTILE = 1.959964  # 97.5 % of a normal distribution lie below


def bootstrap_margin(statistic: Callable[[np.ndarray], float], count: int, *, resamples: int, seed: int) -> float:
    """1.96 standard errors of a statistic of `count` images, by the bootstrap (Efron, 1979, section 2).

    The statistic is given the indices (count,) of a resample, drawn with replacement. Its standard error is taken
    rather than the percentiles: resamples repeat images, which moves a biased score such as FID, but hardly widens it.
    """
    random = np.random.default_rng(seed)
    values = [statistic(random.integers(count, size=count)) for _ in range(resamples)]
    return float(NORMAL_QUANTILE * np.std(values, ddof=1))


def mean_margin(values: np.ndarray) -> float:
    """1.96 standard errors of the mean of values (count,): what `bootstrap_margin` of a mean tends to."""
    return float(NORMAL_QUANTILE * np.std(values) / np.sqrt(len(values)))


def student_margin(values: np.ndarray) -> float:
    """Half of the 95 % interval of the mean of a few normal values (count,), at least two (Student, 1908)."""
    from scipy.stats import t  # most runs have one seed, and need not wait for the import

    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
