"""Schedules over a training: functions of `progress`, the share of training that is done, in [0, 1)."""


def learning_rate_factor(progress: float, decay_from: float) -> float:
    """What learning rates are multiplied by: 1, and from `decay_from` on a line that falls to 0."""
    return 1.0 if progress <= decay_from else (1 - progress) / (1 - decay_from)


def instance_noise(progress: float, std: float, until: float) -> float:
    """Standard deviation of instance noise: a line from `std` to 0 at `until` (Sønderby et al., 2017, section 2)."""
    return std * max(0.0, 1 - progress / until)
