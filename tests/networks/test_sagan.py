"""Self-attention against another computation of the same formula."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from scipy.special import softmax

from stages.networks import sagan


def test_attention_is_the_papers_formula() -> None:
    torch.manual_seed(0)
    attention = sagan.SelfAttention(6, 2).eval()
    torch.nn.init.constant_(attention.gamma, 0.7)
    hidden = torch.randn(3, 6, 4, 5)
    weights = {
        name: getattr(attention, name).weight.detach().double().numpy()[:, :, 0, 0]
        for name in ("query", "key", "value")
    }
    expected = np.empty((3, 6, 4, 5))
    for index, image in enumerate(hidden.double().numpy()):
        pixels = image.reshape(6, 20)
        out = np.zeros_like(pixels)
        for looking in range(20):
            query = weights["query"] @ pixels[:, looking]
            scores = np.array([query @ (weights["key"] @ pixels[:, looked_at]) for looked_at in range(20)])
            for looked_at, share in enumerate(softmax(scores)):
                out[:, looking] += share * (weights["value"] @ pixels[:, looked_at])
        expected[index] = (pixels + 0.7 * out).reshape(6, 4, 5)
    assert np.allclose(attention(hidden).detach().numpy(), expected, atol=1e-5)


def test_attention_is_not_there_at_first_and_is_learned() -> None:
    attention = sagan.SelfAttention(6, 2)
    hidden = torch.randn(3, 6, 4, 5)
    out = attention(hidden)
    assert torch.equal(out, hidden)
    out.square().sum().backward()
    assert attention.gamma.grad is not None
    assert attention.gamma.grad != 0


@pytest.mark.parametrize(("halvings", "side"), [(1, 14), (2, 7)])
def test_both_networks_attend_once_where_they_are_told_to(halvings: Literal[1, 2], side: int) -> None:
    options = sagan.SAGANNetwork(
        name="sagan", latent_size=4, base_channels=8, attention_halvings=halvings, attention_channels=2
    )
    attended = []
    for role, given in (("generator", torch.randn(2, 4)), ("discriminator", torch.randn(2, 1, 28, 28))):
        built = getattr(options, role)((1, 28, 28), 10)
        for module in built.modules():
            if isinstance(module, sagan.SelfAttention):
                module.register_forward_hook(lambda _module, _given, out: attended.append(tuple(out.shape[2:])))
        built(given, torch.zeros(2, dtype=torch.int64))
    assert attended == [(side, side)] * 2
