"""Translators: what is drawn is made from the sources of test images; with two directions, both, and back again."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stages.contracts.generator import to_pixels
from stages.contracts.translator import Translator
from stages.storage.images import Split
from stages.storage.pixels import to_float, to_outlines
from tests.contracts.generators import Doubling, Fading

IMAGES = np.random.default_rng(0).integers(0, 256, (14, 1, 6, 6), np.uint8)
TEST = Split(IMAGES, np.arange(14) % 3, ("a", "b", "c"))


def draw(count: int, translator: Translator | None = None) -> Any:
    return (translator or Fading()).draw(torch.zeros(count, dtype=torch.int64), TEST, first=0, seed=0, truncation=1.0)


def test_images_are_made_from_sources(monkeypatch: Any) -> None:
    monkeypatch.setattr("stages.contracts.generator.TOGETHER", 5)
    arrays = draw(12, Doubling())
    small = to_float(torch.from_numpy(IMAGES[:12, :, ::2, ::2]))
    assert arrays.keys() == {"images", "labels"}
    assert np.array_equal(arrays["images"], to_pixels(small / 2).repeat(2, axis=2).repeat(2, axis=3))
    assert arrays["labels"].tolist() == TEST.labels[:12].tolist()  # a digit should stay what it is


def test_the_pictures_show_sources_at_the_images_size_what_was_made_and_originals() -> None:
    more = draw(12, Doubling()) | {"other": IMAGES[:12] // 3}
    labels = torch.zeros(12, dtype=torch.int64)
    pictures = Doubling().eval().draw_pictures(more, labels, TEST, seed=0, truncation=1.0)
    assert np.array_equal(pictures["samples"].images, more["images"])
    images, columns = pictures["translations"]
    source = IMAGES[:, :, ::2, ::2].repeat(2, axis=2).repeat(2, axis=3)
    assert columns == 10
    assert np.array_equal(images, np.concatenate([row[:10] for row in (source, more["images"], more["other"], IMAGES)]))


def test_a_source_has_the_images_shape_unless_the_generator_says_so() -> None:
    assert Fading().source_shape((3, 6, 8)) == (3, 6, 8)
    assert Doubling().source_shape((3, 6, 8)) == (3, 3, 4)


def test_every_way_is_drawn_of_each_image(monkeypatch: Any) -> None:
    monkeypatch.setattr("stages.contracts.generator.TOGETHER", 5)
    arrays = draw(12)
    digits = to_float(torch.from_numpy(IMAGES[:12]))
    outlines = to_outlines(digits)
    expected = {
        "images": outlines / 2,
        "outlines": digits.flip(2),
        "cycled_images": digits.flip(2) / 2,
        "cycled_outlines": (outlines / 2).flip(2),
    }
    assert arrays.keys() == expected.keys() | {"labels"}
    assert arrays["labels"].tolist() == TEST.labels[:12].tolist()  # a digit should stay what it is
    assert all(np.array_equal(arrays[name], to_pixels(value)) for name, value in expected.items())


def test_the_pictures_show_what_was_given_translated_and_back() -> None:
    arrays = draw(12)
    labels = torch.zeros(12, dtype=torch.int64)
    pictures = Fading().draw_pictures(arrays, labels, TEST, seed=0, truncation=1.0)
    assert np.array_equal(pictures["samples"].images, arrays["images"])
    images, columns = pictures["translations"]
    outlines = to_pixels(to_outlines(to_float(torch.from_numpy(IMAGES[:10]))))
    rows = [IMAGES, arrays["outlines"], arrays["cycled_images"], outlines, arrays["images"], arrays["cycled_outlines"]]
    assert columns == 10
    assert np.array_equal(images, np.concatenate([row[:10] for row in rows]))


def test_images_are_those_of_the_numbers_asked_for(monkeypatch: Any) -> None:
    whole = draw(len(IMAGES) + 3)
    labels = torch.zeros(9, dtype=torch.int64)
    parts = [Fading().draw(labels, TEST, first=first, seed=0, truncation=1.0) for first in range(0, len(IMAGES) + 9, 9)]
    assert len(whole["images"]) == len(IMAGES)
    for name, array in whole.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), array)
