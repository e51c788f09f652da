"""Preprocess: IDX files read by their header, splits disjoint, whole and the same for a seed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from stages import preprocess
from stages.support.errors import ParameterError, StageError
from stages.support.images import read_split
from stages.support.params import Params, load


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """60 training and 10 test images, image i all of level i, its label i mod 10."""
    params = load()
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "data/raw"
    raw.mkdir(parents=True)
    for prefix, levels in {"train": np.arange(60), "t10k": np.arange(100, 110)}.items():
        images = np.broadcast_to(levels.astype(np.uint8)[:, None, None], (len(levels), 4, 6))
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(np.ascontiguousarray(images)))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx((levels % 10).astype(np.uint8)))
    split = params.preprocess.model_copy(update={"validation_images": 12})
    return params.model_copy(update={"preprocess": split})


def test_splits_hold_every_image_once_with_its_label(params: Params) -> None:
    preprocess.main(params)
    levels = {}
    for name in ("train", "validation", "test"):
        split = read_split(name)
        assert split.image_shape == (1, 4, 6)
        levels[name] = split.images[:, 0, 0, 0]
        assert np.array_equal(levels[name] % 10, split.labels)
    assert {name: len(found) for name, found in levels.items()} == {"train": 48, "validation": 12, "test": 10}
    assert sorted([*levels["train"], *levels["validation"]]) == list(range(60))
    assert sorted(levels["test"]) == list(range(100, 110))
    assert read_split("train").classes == 10


def test_the_seed_chooses_the_split(params: Params) -> None:
    chosen = {}
    for attempt, seed in {"first": 0, "again": 0, "other": 1}.items():
        seeded = params.preprocess.model_copy(update={"seed": seed})
        preprocess.main(params.model_copy(update={"preprocess": seeded}))
        chosen[attempt] = read_split("validation").images[:, 0, 0, 0].tolist()
    assert chosen["first"] == chosen["again"] != chosen["other"]


def test_no_image_left_to_train_on_is_refused(params: Params) -> None:
    greedy = params.preprocess.model_copy(update={"validation_images": 60})
    with pytest.raises(ParameterError, match=r"preprocess\.validation_images: 60"):
        preprocess.main(params.model_copy(update={"preprocess": greedy}))


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"\0\0\x0d\x01" + b"\0" * 8, b"\0\0\x08\x03\0\0", idx(np.zeros((2, 3), np.uint8))[:-1]],
    ids=["empty", "html", "floats", "cut header", "cut body"],
)
def test_what_is_no_idx_file_of_bytes_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(StageError, match="file: "):
        preprocess.read_idx(tmp_path / "file")


def test_images_and_labels_must_be_as_many(params: Params) -> None:
    Path("data/raw/train-labels-idx1-ubyte").write_bytes(idx(np.zeros(59, np.uint8)))
    with pytest.raises(StageError, match="60 images but 59 labels"):
        preprocess.main(params)
