"""The U-Net: its sizes, its ways past the middle, its dropout; the discriminator's patches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stages.config.errors import StageError
from stages.networks.pix2pix import Pix2PixNetwork
from stages.storage.pixels import to_outlines

LABELS = torch.zeros(2, dtype=torch.int64)


def options(**changes: Any) -> Pix2PixNetwork:
    base: dict[str, Any] = {"name": "pix2pix", "generator_channels": 4, "dropout": 0.5, "discriminator_channels": 8}
    return Pix2PixNetwork(**base | changes)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 27, 30), (1, 5, 8), (1, 12, 13)])
def test_images_have_the_sources_own_size(shape: tuple[int, int, int]) -> None:
    generator = options().generator(shape, 10)
    made = generator(torch.randn(2, *shape), LABELS)
    assert made.shape == (2, *shape)
    assert made.abs().max() <= 1


def test_images_that_are_too_small_are_refused_in_one_line() -> None:
    with pytest.raises(StageError, match=r"^images of 4×28 pixels are too small"):
        options().generator((1, 4, 28), 10)


def test_a_source_is_an_outline() -> None:
    generator: Any = options().generator((1, 12, 12), 10)
    images = torch.rand(2, 1, 12, 12) * 2 - 1
    assert torch.equal(generator.source(images), to_outlines(images))
    assert generator.source_shape((1, 12, 12)) == (1, 12, 12)


def test_each_size_on_the_way_back_sees_that_of_the_way_there() -> None:
    generator: Any = options(dropout=0.0).generator((1, 28, 28), 10)
    there: list[Tensor] = []
    back: list[Tensor] = []
    for halving in generator.halvings:
        halving.register_forward_hook(lambda _module, _given, made: there.append(made))
    for doubling in generator.doublings:
        doubling.register_forward_pre_hook(lambda _module, given: back.append(given[0]))
    generator(torch.randn(2, 1, 28, 28), LABELS)
    assert [tuple(hidden.shape[1:]) for hidden in there] == [(4, 14, 14), (8, 7, 7), (16, 3, 3)]
    assert [tuple(hidden.shape[1:]) for hidden in back] == [(16, 3, 3), (16, 7, 7), (8, 14, 14)]
    assert torch.equal(back[0], there[2])
    assert torch.equal(back[1][:, 8:], there[1])
    assert torch.equal(back[2][:, 4:], there[0])


def test_dropout_is_the_only_noise_and_is_drawn_in_training_alone() -> None:
    generator = options().generator((1, 12, 12), 10)
    source = torch.randn(2, 1, 12, 12)
    assert not torch.equal(generator(source, LABELS), generator(source, LABELS))
    generator.eval()
    assert torch.equal(generator(source, LABELS), generator(source, LABELS))
    without = options(dropout=0.0).generator((1, 12, 12), 10)
    assert torch.equal(without(source, LABELS), without(source, LABELS))


def test_a_logit_judges_a_patch_at_a_quarter_of_the_size() -> None:
    discriminator = options().discriminator((1, 28, 28), 10, outputs=3)
    assert discriminator(torch.randn(2, 1, 28, 28), LABELS).shape == (2, 3, 7, 7)


def test_weights_of_the_generator_start_with_a_deviation_of_0_02() -> None:
    torch.manual_seed(0)
    generator = options(generator_channels=16).generator((1, 28, 28), 10)
    layers = [layer for layer in generator.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 6
    assert all(layer.weight.std().item() == pytest.approx(0.02, rel=0.15) for layer in layers)
