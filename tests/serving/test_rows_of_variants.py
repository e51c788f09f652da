"""Served rows of every variant: the image of a seed and a label is the same in every batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.serving.requests import serve
from stages.storage.pixels import to_uint8
from tests.builders import PARAMS
from tests.serving.models import CLASSES, lively_generator, rows_one_by_one

NAMES = [name for name, variant in PARAMS.variants.items() if variant.network.kind != "translating"]
ROWS = 40  # a batch, and a part of one


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_the_same_in_every_batch_and_drawn_alone(name: str) -> None:
    generator = lively_generator(name).to(memory_format=torch.channels_last)
    seeds = torch.arange(ROWS) * 7919
    labels = torch.arange(ROWS) % len(CLASSES)
    rows = generator.sample_rows(seeds.tolist(), labels)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(generator.sample_rows(seeds[order].tolist(), labels[order]), rows[order])
    assert torch.equal(generator.sample_rows(seeds[33:34].tolist(), labels[33:34]), rows[33:34])
    pixels = to_uint8(rows).numpy().astype(int)
    assert pixels.std() > 3  # they are pictures of something
    assert np.abs(pixels[0] - pixels[4]).max() > 3  # and not all the same
    some = [0, 17, 39]
    alone = to_uint8(rows_one_by_one(generator, seeds[some].tolist(), labels[some].tolist())).numpy()
    # a batch of another size rounds its sums differently: of a pixel at a boundary the other level
    differences = np.abs(pixels[some] - alone)
    assert differences.max() <= 1
    assert differences.mean() < 0.001


def test_a_translators_digit_is_the_same_in_every_batch() -> None:
    generator = lively_generator("cyclegan")
    outlines = np.random.default_rng(0).integers(0, 256, (ROWS, 1, 28, 28), np.uint8)
    digits = serve(generator, outlines, CLASSES)
    assert torch.equal(serve(generator, outlines[::-1].copy(), CLASSES), digits.flip(0))
    assert torch.equal(serve(generator, outlines[35:36], CLASSES), digits[35:36])
    with pytest.raises(ValueError, match=r"images of shape \(2, 3, 28, 28\) do not fit: "):
        serve(generator, np.zeros((2, 3, 28, 28), np.uint8), CLASSES)
