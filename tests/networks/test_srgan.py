"""The generator that enlarges by 4, what it starts from, what it is compared with; the discriminator's features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stages.contracts.generator import to_pixels
from stages.networks.layers import Residual
from stages.networks.srgan import SRGANNetwork
from stages.storage.images import Split

LABELS = torch.zeros(2, dtype=torch.int64)


def options(**changes: Any) -> SRGANNetwork:
    base: dict[str, Any] = {"name": "srgan", "generator_channels": 4, "residual_blocks": 2}
    return SRGANNetwork(**base | {"discriminator_channels": 8} | changes)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 32), (1, 8, 12), (1, 30, 29), (3, 9, 17)])
def test_images_have_four_times_the_size_of_their_sources(shape: tuple[int, int, int]) -> None:
    generator: Any = options().generator(shape, 10)
    images = torch.rand(2, *shape) * 2 - 1
    source = generator.source(images)
    assert tuple(source.shape[1:]) == generator.source_shape(shape) == (shape[0], -(-shape[1] // 4), -(-shape[2] // 4))
    made = generator(source, LABELS)
    assert made.shape == (2, *shape)
    assert made.abs().max() <= 1


def test_a_pixel_of_a_source_is_the_mean_of_four_by_four() -> None:
    generator: Any = options().generator((3, 8, 12), 10)
    images = torch.rand(2, 3, 8, 12) * 2 - 1
    expected = images.reshape(2, 3, 2, 4, 3, 4).mean(dim=(3, 5))
    torch.testing.assert_close(generator.source(images), expected)


def test_where_4_does_not_divide_a_side_the_last_pixel_is_the_mean_of_what_is_left() -> None:
    generator: Any = options().generator((1, 9, 6), 10)
    images = torch.rand(2, 1, 9, 6) * 2 - 1
    source = generator.source(images)
    torch.testing.assert_close(source[:, :, 2, 1], images[:, :, 8:, 4:].mean(dim=(2, 3)))
    torch.testing.assert_close(source[:, :, 0, 1], images[:, :, :4, 4:].mean(dim=(2, 3)))
    assert generator.translate_all(images, LABELS)["bicubic"].shape == images.shape


def test_bicubic_enlargements_are_drawn_beside_images() -> None:
    generator: Any = options().generator((1, 16, 16), 10)
    ramp = np.broadcast_to(np.arange(16, dtype=np.uint8) * 16, (3, 1, 16, 16))
    flat = np.full((3, 1, 16, 16), 77, np.uint8)
    test = Split(np.concatenate([ramp, flat]), np.zeros(6, np.int64), ("a",))
    arrays = generator.draw(torch.zeros(6, dtype=torch.int64), test, first=0, seed=0, truncation=1.0)
    assert arrays.keys() == {"images", "bicubic", "labels"}
    assert arrays["bicubic"].shape == arrays["images"].shape == (6, 1, 16, 16)
    assert np.array_equal(arrays["bicubic"][3:], flat)  # what is flat stays so
    middle = arrays["bicubic"][:3, :, :, 6:10].astype(int)
    assert np.abs(middle - ramp[:, :, :, 6:10]).max() <= 1  # a slope that no border is near to, too
    pictures = generator.draw_pictures(arrays, torch.zeros(6), test, seed=0, truncation=1.0)
    shown = pictures["translations"].images
    assert np.array_equal(shown[6:], np.concatenate([arrays["images"], arrays["bicubic"], test.images]))
    source = to_pixels(generator.source(torch.from_numpy(test.images) / 127.5 - 1))
    assert np.array_equal(shown[:6, :, ::4, ::4], source)


def test_without_blocks_the_generator_is_a_shallow_one() -> None:
    count = [
        sum(isinstance(layer, Residual) for layer in options(residual_blocks=blocks).generator((1, 8, 8), 10).modules())
        for blocks in (0, 3)
    ]
    assert count == [0, 3]


def test_outputs_are_the_logit_and_what_it_is_computed_from() -> None:
    discriminator: Any = options().discriminator((1, 28, 28), 10)
    images = torch.randn(2, 1, 28, 28)
    outputs = discriminator(images, LABELS)
    assert outputs.shape == (2, 1 + 32 * 3 * 3)
    assert isinstance(discriminator.head, nn.Linear)
    torch.testing.assert_close(discriminator.head(outputs[:, 1:]), outputs[:, :1])
