"""Served rows of every variant: the image of a seed and a label is the same in every batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stages.serving.requests import serve
from stages.storage.pixels import to_uint8
from tests.builders import PARAMS, SHAPE
from tests.serving.models import CLASSES, lively_generator, rows_one_by_one

STARTS = {name: variant.network.generator_type.starts_from for name, variant in PARAMS.variants.items()}
NAMES = [name for name, start in STARTS.items() if start == "latents"]
TRANSLATORS = [name for name, start in STARTS.items() if start == "test_images"]
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
    # a batch of another size rounds its sums differently: a pixel at a boundary may get the other level
    differences = np.abs(pixels[some] - alone)
    assert differences.max() <= 1
    assert differences.mean() < 0.001


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_translators_image_is_the_same_in_every_batch(name: str) -> None:
    generator = lively_generator(name)
    shape = generator.source_shape(SHAPE)
    sources = np.random.default_rng(0).integers(0, 256, (ROWS, *shape), np.uint8)
    images = serve(generator, sources, CLASSES)
    assert images.shape == (ROWS, *SHAPE)
    assert torch.equal(serve(generator, sources[::-1].copy(), CLASSES), images.flip(0))
    assert torch.equal(serve(generator, sources[35:36], CLASSES), images[35:36])
    with pytest.raises(ValueError, match=r"images of shape \(2, 3, 28, 28\) do not fit: "):
        serve(generator, np.zeros((2, 3, 28, 28), np.uint8), CLASSES)
