"""Schedules over a training: functions of `progress`, the share of training that is done, in [0, 1)."""

import math


def learning_rate_factor(progress: float, decay_from: float) -> float:
    """What learning rates are multiplied by: 1, and from `decay_from` on a line that falls to 0."""
    return 1.0 if progress <= decay_from else (1 - progress) / (1 - decay_from)


def instance_noise(progress: float, std: float, until: float) -> float:
    """Standard deviation of instance noise: a line from `std` to 0 at `until` (Sønderby et al., 2017, section 2)."""
    return std * max(0.0, 1 - progress / until)


def growth(progress: float, grown_at: float, last: int) -> float:
    """Stage of growth, 0 to `last`: each resolution rests, then the next one fades in, for equally long.

    A whole number is a resolution, a fraction the share of the next one (Karras et al., 2018, section 2 and
    figure 2). At `grown_at` growth is over.
    """
    stage = progress / grown_at * last  # each whole step is one rest and one fade
    if stage >= last:
        return float(last)
    return math.floor(stage) + max(0.0, 2 * (stage % 1) - 1)
