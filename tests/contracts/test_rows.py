"""Rows: each has the random numbers of its own seed, in any batch; bad ones are refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from stages.contracts.rows import BATCH, SeededRows, in_batches, read_images, read_rows

NAMES = ("a", "b", "c")


def test_a_row_draws_what_torch_draws_after_its_seed() -> None:
    seeds, state = [5, 0, 2**63 - 1, 5], torch.get_rng_state()
    with SeededRows(seeds):
        drawn = [torch.randn(4, 20), torch.rand(4, 3), torch.randn(4, 1, 2, 2, dtype=torch.float64)]
        others = torch.ones(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert others.tolist() == [1, 1, 1]
    with torch.random.fork_rng(devices=[]):
        for row, seed in enumerate(seeds):
            torch.manual_seed(seed)
            alone = [torch.randn(1, 20), torch.rand(1, 3), torch.randn(1, 1, 2, 2, dtype=torch.float64)]
            assert all(torch.equal(made[row : row + 1], one) for made, one in zip(drawn, alone, strict=True))


def test_rows_without_a_seed_are_refused() -> None:
    with SeededRows([1, 2]), pytest.raises(ValueError, match="for 3 rows were asked for; there are 2 seeds"):
        torch.randn(3, 4)


@pytest.mark.parametrize("rows", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_every_batch_has_the_same_size(rows: int) -> None:
    sizes = []

    def draw(batch: list[int]) -> torch.Tensor:
        sizes.append(len(batch))
        return torch.tensor(batch)

    assert in_batches(draw, rows).tolist() == list(range(rows))
    assert sizes == [BATCH] * (-(-rows // BATCH))


@pytest.mark.parametrize(
    "table",
    [
        {"seed": [3, 2**63 - 1], "label": ["c", "a"]},
        {"seed": np.array([[3], [2**63 - 1]]), "label": np.array(["c", "a"])},
        pd.DataFrame({"label": ["c", "a"], "seed": [3, 2**63 - 1]}),
    ],
)
def test_rows_are_read_from_a_mapping_or_a_frame(table: Any) -> None:
    seeds, labels = read_rows(table, NAMES)
    assert seeds == [3, 2**63 - 1]
    assert labels.tolist() == [2, 0]


def test_labels_are_text_or_numbers_and_may_be_left_out() -> None:
    assert read_rows({"seed": [1, 2], "label": [10, 2]}, ("2", "10"))[1].tolist() == [1, 0]
    assert read_rows({"seed": [1, 2]}, NAMES)[1].tolist() == [0, 0]


@pytest.mark.parametrize("seed", [-1, 2**63, 2**70, 1.5, 1.0, "1", "x", None, float("nan"), True])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"^seed: .* expected a whole number from 0 to 9223372036854775807$"):
        read_rows({"seed": [1, seed]}, NAMES)


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
        read_rows(table, names)
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
