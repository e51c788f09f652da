"""Requests: rows of seeds and labels, or images; bad ones are refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from stages.serving.requests import read_images, read_seeds_and_labels, serve
from stages.storage.pixels import to_float
from tests.contracts.generators import Doubling, Fading, Plain

NAMES = ("a", "b", "c")
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 1, 6, 6), np.uint8)


def test_a_row_is_of_its_seed_and_its_label() -> None:
    generator = Plain("class")
    served = serve(generator, {"seed": [0, 1], "label": ["a", "c"]}, "abc")
    assert torch.equal(served, torch.cat([generator.sample(torch.tensor([i]), seed=s) for s, i in ((0, 0), (1, 2))]))
    assert torch.equal(serve(generator, {"seed": [1, 0], "label": ["c", "a"]}, "abc"), served.flip(0))
    assert torch.equal(serve(generator, {"seed": [0]}, "abc"), served[:1])  # the first class


def test_a_code_is_called_by_its_number() -> None:
    coded = Plain("code")
    coded.categories = 12
    assert serve(coded, {"seed": [0], "label": ["11"]}, "abc").shape == (1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"unknown label 'a'; expected one of: 0, 1, .*and 2 more"):
        serve(coded, {"seed": [0], "label": ["a"]}, "abc")


def test_an_unknown_label_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown label 'd'; expected one of: a, b, c"):
        serve(Plain("class"), {"seed": [0, 1], "label": ["a", "d"]}, "abc")


def test_images_may_be_smaller_than_what_is_made_of_them() -> None:
    assert serve(Doubling().eval(), IMAGES[:, :, :3, :3], "abc").shape == (3, 1, 6, 6)


def test_it_serves_digits_of_outlines() -> None:
    made = Fading().eval()
    served = serve(made, IMAGES, "abc")
    assert torch.equal(served, to_float(torch.from_numpy(IMAGES)) / 2)
    assert serve(made, IMAGES.tolist(), "abc").equal(served)
    assert (made.starts_from, made.label_meaning) == ("test_images", "class")


@pytest.mark.parametrize(
    "table",
    [
        {"seed": [3, 2**32 - 1], "label": ["c", "a"]},
        {"seed": np.array([[3], [2**32 - 1]]), "label": np.array(["c", "a"])},
        pd.DataFrame({"label": ["c", "a"], "seed": [3, 2**32 - 1]}),
    ],
)
def test_rows_are_read_from_a_mapping_or_a_frame(table: Any) -> None:
    seeds, labels = read_seeds_and_labels(table, NAMES)
    assert seeds == [3, 2**32 - 1]
    assert labels.tolist() == [2, 0]


def test_labels_are_text_or_numbers_and_may_be_left_out() -> None:
    assert read_seeds_and_labels({"seed": [1, 2], "label": [10, 2]}, ("2", "10"))[1].tolist() == [1, 0]
    assert read_seeds_and_labels({"seed": [1, 2]}, NAMES)[1].tolist() == [0, 0]


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70, 1.5, 1.0, "1", "x", None, float("nan"), True])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"^seed: .* expected a whole number from 0 to 4294967295$"):
        read_seeds_and_labels({"seed": [1, seed]}, NAMES)


@pytest.mark.parametrize(
    ("table", "names", "line"),
    [
        ({"seed": [], "label": []}, NAMES, "0 rows are not allowed; expected 1 to 10000"),
        ({"seed": [0] * 10_001}, NAMES, "10001 rows are not allowed; expected 1 to 10000"),
        ({"label": ["a"]}, NAMES, "expected rows with a seed and a label; there is no column seed"),
        ([[1], [2]], (), "expected rows with a seed; there is no column seed"),
        ({"seed": [1], "label": ["a"]}, (), "this generator draws without labels; expected the column seed alone"),
        ({"seed": [1, 2], "label": ["a"]}, NAMES, "there are 2 seeds and 1 labels"),
        ({"seed": [1], "label": [-1]}, NAMES, "unknown label '-1'; expected one of: a, b, c"),
        ({"seed": [1], "label": ["a\nb"]}, NAMES, r"unknown label 'a\nb'; expected one of"),
    ],
)
def test_bad_rows_are_refused_in_one_line(table: Any, names: Any, line: str) -> None:
    with pytest.raises(ValueError, match=r"^.+$") as caught:
        read_seeds_and_labels(table, names)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_are_read_as_whole_numbers() -> None:
    images = read_images([[[[0, 255]]]])
    assert images.dtype == np.uint8
    assert images.tolist() == [[[[0, 255]]]]


@pytest.mark.parametrize(
    "images",
    [
        *([[[[0, 256]]]], [[[[-1]]]], [[[[0.5]]]], [[[["x"]]]], [[[0]]], 5, None, [[1], [2, 3]], "text"),
        np.zeros((2, 1, 0, 3), np.uint8),
        {"a": 1},
    ],
)
def test_what_are_no_images_is_refused(images: Any) -> None:
    with pytest.raises(ValueError, match=r"^expected images \(count, channels, height, width\) of whole numbers"):
        read_images(images)


@pytest.mark.parametrize("count", [0, 10_001])
def test_no_images_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"^{count} rows are not allowed; expected 1 to 10000$"):
        read_images(np.zeros((count, 1, 1, 1), np.uint8))
