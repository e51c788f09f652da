"""Schedules at their breakpoints, and half way between them."""

from __future__ import annotations

import pytest

from stages.training.schedules import instance_noise, learning_rate_factor


def test_learning_rates_fall_to_zero_over_the_last_share() -> None:
    assert [learning_rate_factor(progress, 0.5) for progress in (0.0, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0]
    assert learning_rate_factor(0.999, 1.0) == 1


def test_instance_noise_is_gone_where_it_should_be() -> None:
    assert [instance_noise(progress, 0.4, 0.5) for progress in (0.0, 0.25, 0.5, 0.9)] == pytest.approx([0.4, 0.2, 0, 0])
