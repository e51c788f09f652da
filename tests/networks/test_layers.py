"""What networks share: instance norm against torch's, sizes that are halved and doubled."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.config.errors import StageError
from stages.networks.layers import InstanceNorm, StridedDiscriminator, doubling, halved_sizes


def test_the_instance_norm_is_torchs() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 6, 7, 5) * torch.rand(3, 6, 1, 1) * 9 + torch.randn(3, 6, 1, 1)
    norm = InstanceNorm()
    assert not norm.state_dict()
    torch.testing.assert_close(norm(hidden), torch.nn.InstanceNorm2d(6)(hidden))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((28, 28), [(28, 28), (14, 14), (7, 7), (3, 3)]),
        ((64, 64), [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]),
        ((9, 20), [(9, 20), (4, 10)]),
        ((5, 5), [(5, 5), (2, 2)]),
    ],
)
def test_sizes_are_halved_until_a_side_is_at_most_four(size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    assert halved_sizes(*size) == expected


@pytest.mark.parametrize("size", [(4, 28), (28, 4), (1, 1)])
def test_images_of_at_most_four_pixels_a_side_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(StageError, match=f"{size[0]}×{size[1]} pixels are too small"):
        halved_sizes(*size)


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
