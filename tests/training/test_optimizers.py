"""Our optimisers are torch's, weight by weight and step by step, without what torch's classes import."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from stages.adversarial.optimizers import build_optimizer
from stages.settings import params

ADAM = params.Adam(name="adam", learning_rate=0.01, betas=[0.5, 0.9])
RMSPROP = params.RMSprop(name="rmsprop", learning_rate=0.01, smoothing=0.9)


@pytest.mark.parametrize("options", [ADAM, RMSPROP], ids=["adam", "rmsprop"])
def test_steps_are_those_of_torchs_classes(options: params.Adam | params.RMSprop) -> None:
    """Also where a weight has no gradient for a while: its state waits."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2))
    ours.to(memory_format=torch.channels_last)  # as the engine's: state of another layout would meet other weights
    theirs = copy.deepcopy(ours)
    optimizer = build_optimizer(options, ours)
    reference: torch.optim.Optimizer
    if isinstance(options, params.Adam):
        reference = torch.optim.Adam(theirs.parameters(), options.learning_rate, (0.5, 0.9))
    else:
        reference = torch.optim.RMSprop(theirs.parameters(), options.learning_rate, options.smoothing)
    for step in range(6):
        images = torch.randn(5, 2, 4, 4)
        for network, steps in ((ours, optimizer), (theirs, reference)):
            network.requires_grad_(True)
            network[2].bias.requires_grad_(step % 3 == 0)
            steps.zero_grad()
            network(images).square().sum().backward()
            steps.step()
        if step == 2:  # rates may change on the way
            optimizer.learning_rate = reference.param_groups[0]["lr"] = 0.002
    for mine, torchs in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-6, atol=1e-7)


def test_no_gradients_no_step() -> None:
    player = nn.Linear(2, 2)
    before = copy.deepcopy(player.state_dict())
    build_optimizer(ADAM, player).step()
    assert all(torch.equal(value, before[name]) for name, value in player.state_dict().items())


def test_a_step_imports_no_compiler() -> None:
    """It takes seconds, in each of the pipeline's trainings."""
    code = """
import sys, torch
from stages.adversarial.engine import Engine
from stages.adversarial.batches import Batches
from stages.settings.params import load
from stages.adversarial.parts import build_parts
for name in ("sngan", "wgan"):
    parts = build_parts(name, load().variants[name])
    game = parts.pop("game").build(**parts, image_shape=(1, 28, 28), classes=10)
    images = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    Engine(game, Batches(images, torch.zeros(64, dtype=torch.int64), 32), load().variants[name]).step()
print("torch._dynamo" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
