"""Splits: what is written comes back, what is malformed is refused; grids as they are looked at."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.config.errors import StageError
from stages.storage.files import write_array
from stages.storage.images import Split, data_digest, grid_png, read_split, write_split
from stages.storage.paths import PROCESSED


def split() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 6), np.uint8)
    return Split(images, np.array([0, 1, 2, 0]), ("zero", "one", "two"), planes=3)


def test_a_split_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_split("test", split())
    found = read_split("test")
    assert np.array_equal(found.images, split().images)
    assert np.array_equal(found.labels, split().labels)
    assert found[2:] == split()[2:]
    assert found.image_shape == (3, 5, 6)


@pytest.mark.parametrize(
    ("file", "array"),
    [
        ("images", np.zeros((4, 5, 6), np.uint8)),
        ("images", np.zeros((4, 3, 5, 6), np.float32)),
        ("labels", np.zeros(3, np.int64)),
        ("labels", np.zeros(4, np.int32)),
    ],
)
def test_a_malformed_split_is_refused(
    file: str, array: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_split("test", split())
    write_array(PROCESSED / "test" / f"{file}.npy", array)
    with pytest.raises(StageError, match=rf"data/processed/test/{file}\.npy: expected"):
        read_split("test")


def test_an_empty_or_missing_split_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageError, match="data/processed/train"):
        read_split("train")
    write_split("train", split().take(np.array([], np.int64)))
    with pytest.raises(StageError, match="at least one"):
        read_split("train")


def test_some_images_are_taken_with_their_labels() -> None:
    taken = split().take(np.array([2, 1]))
    assert np.array_equal(taken.images, split().images[[2, 1]])
    assert taken.labels.tolist() == [2, 1]
    assert taken[2:] == split()[2:]


def test_the_digest_changes_with_images_labels_shapes_and_types() -> None:
    given = split()
    changed = [
        given,
        given._replace(images=given.images ^ 1),
        given._replace(labels=given.labels[::-1]),
        given._replace(images=given.images.reshape(4, 3, 6, 5)),
        given._replace(labels=given.labels.astype(np.uint64)),
    ]
    assert len({data_digest(each) for each in changed}) == len(changed)
    assert data_digest(split()) == data_digest(given)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_images_in_reading_order(channels: int, scale: int) -> None:
    images = np.zeros((3, channels, 4, 4), np.uint8)
    for index, level in enumerate((50, 100, 150)):
        images[index] = level
    picture = np.asarray(Image.open(io.BytesIO(grid_png(images, columns=2, scale=scale))).convert("L"))
    assert picture.shape == (11 * scale, 11 * scale)
    picture = picture[scale - 1 :: scale, ::scale]
    assert [int(picture[y, x]) for y, x in ((3, 3), (3, 8), (8, 3), (8, 8))] == [50, 100, 150, 0]
