"""Plain convolutions: maps of logits as the strides say, and sizes that can be doubled."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stages.networks.conv import ConvNetwork

LABELS = torch.zeros(2, dtype=torch.int64)


def options(strides: list[int] | None = None, **changes: Any) -> ConvNetwork:
    base: dict[str, Any] = {"name": "conv", "latent_size": 5, "generator_channels": 8, "discriminator_channels": 4}
    return ConvNetwork(**base | {"discriminator_strides": strides or [1], "slope": 0.1} | changes)


@pytest.mark.parametrize(("strides", "side"), [([1], 28), ([2], 14), ([1, 2, 1], 14), ([2, 2, 2], 4)])
def test_each_stride_of_two_halves_the_map_of_logits(strides: list[int], side: int) -> None:
    discriminator = options(strides).discriminator((1, 28, 28), 10, outputs=3)
    assert discriminator(torch.randn(2, 1, 28, 28), LABELS).shape == (2, 3, side, side)


@pytest.mark.parametrize("channels", [8, 1])
def test_the_generator_doubles_a_quarter_of_the_image_twice(channels: int) -> None:
    generator: Any = options(generator_channels=channels).generator((3, 28, 32), 10)
    shapes: list[tuple[int, ...]] = []
    for layer in generator.layers:
        if isinstance(layer, torch.nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _layer, _given, out: shapes.append(tuple(out.shape)))
    assert generator(torch.randn(2, 5), LABELS).abs().max() <= 1
    assert shapes == [(2, channels, 7, 8), (2, max(1, channels // 2), 14, 16), (2, 3, 28, 32)]


@pytest.mark.parametrize("size", [(28, 30), (27, 28), (17, 19)])
def test_images_may_have_any_size(size: tuple[int, int]) -> None:
    assert options().generator((1, *size), 10)(torch.randn(2, 5), LABELS).shape == (2, 1, *size)
