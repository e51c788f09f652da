"""The optimizers are torch's, bit by bit and step by step, without what torch's classes import."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from stages.config import params
from stages.training.optimizers import build_optimizer
from tests.conftest import ROOT

ADAM = params.Adam(name="adam", learning_rate=0.01, betas=[0.5, 0.9])
RMSPROP = params.RMSprop(name="rmsprop", learning_rate=0.01, alpha=0.9)


@pytest.mark.parametrize("options", [ADAM, RMSPROP], ids=["adam", "rmsprop"])
def test_steps_are_those_of_torchs_classes(options: params.Adam | params.RMSprop) -> None:
    """Also where a weight has no gradient for a while: its state waits."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2))
    ours.to(memory_format=torch.channels_last)  # as the trainer's: state of another layout would meet other weights
    theirs = copy.deepcopy(ours)
    optimizer = build_optimizer(options, ours)
    reference: torch.optim.Optimizer
    if isinstance(options, params.Adam):
        reference = torch.optim.Adam(theirs.parameters(), options.learning_rate, (0.5, 0.9), fused=True)
    else:
        reference = torch.optim.RMSprop(theirs.parameters(), options.learning_rate, options.alpha, foreach=True)
    for step in range(6):
        images = torch.randn(5, 2, 4, 4)
        for network, steps in ((ours, optimizer), (theirs, reference)):
            network.requires_grad_(True)
            network[2].bias.requires_grad_(step % 3 == 0)
            network.zero_grad()
            network(images).square().sum().backward()
            steps.step()
        if step == 2:  # rates may change on the way
            optimizer.set_learning_rate(0.002)
            reference.param_groups[0]["lr"] = 0.002
    assert all(torch.equal(mine, torchs) for mine, torchs in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_rate_on_a_device_changes_in_place() -> None:
    """As CUDA graphs need it: a replay reads the tensor that was recorded."""
    optimizer = build_optimizer(ADAM, nn.Linear(2, 2))
    rate = optimizer.param_groups[0]["lr"] = torch.tensor(0.01)
    for value in (0.002, 0.002, 0.001):
        optimizer.set_learning_rate(value)
        assert optimizer.param_groups[0]["lr"] is rate
        assert float(rate) == pytest.approx(value)


def test_no_gradients_no_step() -> None:
    network = nn.Linear(2, 2)
    before = copy.deepcopy(network.state_dict())
    build_optimizer(ADAM, network).step()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_step_imports_no_compiler() -> None:
    """It takes seconds, in each of the pipeline's trainings."""
    code = """
import sys
from tests.builders import build_trainer
for name in ("sngan", "wgan"):
    build_trainer(name).step()
print("torch._dynamo" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


@pytest.mark.parametrize("options", [ADAM, RMSPROP], ids=["adam", "rmsprop"])
def test_what_was_saved_goes_on_with_the_same_bits(options: params.Adam | params.RMSprop) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2)).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(options, network)

    def step(network: nn.Module, optimizer: Any, images: torch.Tensor) -> None:
        optimizer.forget_gradients()
        network(images).square().sum().backward()
        optimizer.step()

    step(network, optimizer, torch.randn(5, 2, 4, 4))
    copied = copy.deepcopy(network)
    again = build_optimizer(options, copied)
    saved = {name: value.contiguous() for name, value in optimizer.state_tensors().items()}  # as a file holds it
    assert len(saved) >= 8
    again.load_state_tensors(saved)
    images = torch.randn(5, 2, 4, 4)
    step(network, optimizer, images)
    step(copied, again, images)
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), copied.parameters(), strict=True))
