"""What networks share: instance norm against torch's, residuals, sizes that are halved and doubled."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.networks.layers import InstanceNorm, Residual, StridedDiscriminator, doubling


def test_the_instance_norm_is_torchs() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 6, 7, 5) * torch.rand(3, 6, 1, 1) * 9 + torch.randn(3, 6, 1, 1)
    norm = InstanceNorm()
    assert not norm.state_dict()
    torch.testing.assert_close(norm(hidden), torch.nn.InstanceNorm2d(6)(hidden))


def test_a_residual_adds_its_layers_to_its_input() -> None:
    torch.manual_seed(0)
    convolution, hidden = nn.Conv2d(4, 4, 3, padding=1), torch.randn(2, 4, 6, 6)
    residual = Residual(convolution, nn.ReLU())
    torch.testing.assert_close(residual(hidden), hidden + convolution(hidden).clamp(min=0))
    assert not torch.allclose(residual(hidden), hidden)


@pytest.mark.parametrize("larger", [(14, 14), (7, 7), (7, 10), (6, 9)])
def test_doubling_ends_at_odd_sizes_too(larger: tuple[int, int]) -> None:
    hidden = torch.randn(2, 6, larger[0] // 2, larger[1] // 2)
    assert doubling(6, 3, larger)(hidden).shape == (2, 3, *larger)


def test_a_strided_discriminator_halves_to_the_smallest_size_with_norms_on_all_layers_but_the_first() -> None:
    discriminator = StridedDiscriminator((3, 28, 20), 4, 5, norm=lambda depth: [nn.GroupNorm(1, depth)])
    sizes: list[tuple[int, ...]] = []
    for layer in discriminator.layers:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _given, out: sizes.append(tuple(out.shape[1:])))
    assert discriminator(torch.randn(2, 3, 28, 20), torch.zeros(2)).shape == (2, 5)
    assert sizes == [(4, 14, 10), (8, 7, 5), (16, 3, 2)]  # halved_sizes: 28, 14, 7, 3
    assert [layer.num_channels for layer in discriminator.layers if isinstance(layer, nn.GroupNorm)] == [8, 16]
    biased = [layer.bias is not None for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
    assert biased == [True, False, False]  # a norm has its own
