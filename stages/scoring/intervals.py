"""95 % intervals: by how much a score would change if other images had been drawn. `ci95` is the half width."""

from collections.abc import Callable

import numpy as np

from stages.config.params import Evaluate
from stages.scoring.score import Estimate

NORMAL_QUANTILE = 1.959964  # 97.5 % of a normal distribution lie below


def bootstrap_to_estimate(statistic: Callable[[np.ndarray], float], count: int, options: Evaluate) -> Estimate:
    """A statistic of `count` images, with 1.96 standard errors by the bootstrap (Efron, 1979, section 2).

    The statistic gets indices (count,): of all images, or of a resample drawn with replacement. The interval comes from
    the standard error, not from percentiles: resamples repeat images, which moves a biased score such as FID but hardly
    widens it; only of the least FIDs, those of nearly perfect samples, is the interval up to twice too wide.
    """
    random = np.random.default_rng(options.seed)
    values = [statistic(random.integers(count, size=count)) for _ in range(options.resamples)]
    return Estimate(statistic(np.arange(count)), float(NORMAL_QUANTILE * np.std(values, ddof=1)))


def mean_to_estimate(values: np.ndarray) -> Estimate:
    """The mean of values (count,), with 1.96 standard errors: what the bootstrap of a mean tends to."""
    return Estimate(float(values.mean()), float(NORMAL_QUANTILE * np.std(values) / np.sqrt(len(values))))


def student_ci95(values: np.ndarray) -> float:
    """Half width of the 95 % interval of the mean of a few normal values (count,), at least two (Student, 1908)."""
    from scipy.stats import t  # most runs have one seed, and need not wait for the import

    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
