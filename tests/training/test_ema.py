"""The moving average against a recursion written by hand, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.training.ema import EMA


@pytest.mark.parametrize("rampup", [None, 0.05])
def test_the_average_is_the_recursion_with_that_half_life(rampup: float | None) -> None:
    torch.manual_seed(0)
    linear, norm = nn.Linear(2, 2).double(), nn.BatchNorm1d(2).double()
    module = nn.Sequential(linear, norm)
    ema = EMA(module, 100, rampup)
    weight, statistics = linear.weight.detach().clone(), norm.state_dict()["running_mean"].clone()
    for step in range(1, 8):
        module(torch.randn(4, 2, dtype=torch.float64))  # moves the batch statistics
        with torch.no_grad():
            linear.weight.normal_()
        seen = 10 * step
        ema.update(seen, 10)
        halflife = 100 if rampup is None else min(100, seen * rampup)
        decay = 0.5 ** (10 / halflife)
        weight = decay * weight + (1 - decay) * linear.weight.detach()
        statistics = decay * statistics + (1 - decay) * norm.state_dict()["running_mean"]
    averaged = ema.module.state_dict()
    assert torch.allclose(averaged["0.weight"], weight, rtol=1e-12)
    assert torch.allclose(averaged["1.running_mean"], statistics, rtol=1e-12)
    assert averaged["1.num_batches_tracked"] == 7  # copied, not averaged
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())
