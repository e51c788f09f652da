"""Schedules at their breakpoints, and half way between them."""

from __future__ import annotations

import pytest

from stages.training.schedules import growth, instance_noise, learning_rate_factor


def test_growth_rests_and_fades_by_turns_until_it_is_over() -> None:
    expected = {0.0: 0, 0.2: 0, 0.3: 0.5, 0.4: 1, 0.6: 1, 0.7: 1.5, 0.8: 2, 0.99: 2}
    assert {progress: growth(progress, 0.8, 2) for progress in expected} == pytest.approx(expected)
    assert growth(0.7, 0.5, 2) == 2  # where the next one would have begun to fade in


def test_learning_rates_fall_to_zero_over_the_last_share() -> None:
    assert [learning_rate_factor(progress, 0.5) for progress in (0.0, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0]
    assert learning_rate_factor(0.999, 1.0) == 1


def test_instance_noise_is_gone_where_it_should_be() -> None:
    assert [instance_noise(progress, 0.4, 0.5) for progress in (0.0, 0.25, 0.5, 0.9)] == pytest.approx([0.4, 0.2, 0, 0])
