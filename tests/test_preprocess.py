"""Preprocess: IDX files read by their header, splits disjoint, whole and the same for a seed."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages import preprocess
from stages.settings.datasets import DATASETS
from stages.settings.errors import ParameterError, StageError
from stages.settings.params import Params, load
from stages.support.images import read_split


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
    [
        b"",
        b"<html>",
        b"\0\0\x0d\x01" + b"\0" * 8,
        b"\0\0\x0c\x01\0\0\0\x02" + b"\0" * 7,
        b"\0\0\x08\x03\0\0",
        idx(np.zeros((2, 3), np.uint8))[:-1],
    ],
    ids=["empty", "html", "floats", "cut integers", "cut header", "cut body"],
)
def test_what_is_no_idx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(StageError, match="file: "):
        preprocess.read_idx(tmp_path / "file")


def test_images_and_labels_must_be_as_many(params: Params) -> None:
    Path("data/raw/train-labels-idx1-ubyte").write_bytes(idx(np.zeros(59, np.uint8)))
    with pytest.raises(StageError, match="60 images but 59 labels"):
        preprocess.main(params)


def test_qmnist_labels_are_integers_and_its_test_images_the_first(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its labels say more of each image; the class comes first."""
    small = DATASETS["qmnist"]._replace(test_images=4)
    monkeypatch.setitem(DATASETS, "qmnist", small)
    for pair, old in ((small.train, "train"), (small.test, "t10k")):
        levels = preprocess.read_idx(Path(f"data/raw/{old}-labels-idx1-ubyte"))
        more = np.stack([levels, *np.full((7, len(levels)), 77)], axis=1).astype(">i4")
        header = struct.pack(">BBBB2I", 0, 0, 12, 2, *more.shape)
        Path("data/raw", pair.labels).write_bytes(header + more.tobytes())
        Path("data/raw", pair.images).write_bytes(Path(f"data/raw/{old}-images-idx3-ubyte").read_bytes())
    preprocess.main(params.model_copy(update={"dataset": "qmnist"}))
    train, test = read_split("train"), read_split("test")
    assert np.array_equal(train.images[:, 0, 0, 0] % 10, train.labels)
    assert test.images[:, 0, 0, 0].tolist() == [100, 101, 102, 103]
    assert test.labels.tolist() == [0, 1, 2, 3]


def test_stacked_mnist_has_three_digits_of_its_own_split_in_an_image(params: Params) -> None:
    preprocess.main(params)
    plain = {name: read_split(name) for name in ("train", "validation", "test")}
    preprocess.main(params.model_copy(update={"dataset": "stacked_mnist"}))
    for name, digits in plain.items():
        stacked = read_split(name)
        assert stacked.images.shape == (len(digits.images), 3, 4, 6)
        levels = stacked.images[:, :, 0, 0]
        assert set(levels.flatten()) <= set(digits.images[:, 0, 0, 0])
        assert np.array_equal(stacked.labels, (levels % 10) @ [100, 10, 1])
    assert len(np.unique(levels[:, 0])) > 3  # drawn anew for each image


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_images_of_any_size_and_kind(params: Params, tmp_path: Path, channels: int) -> None:
    for label, (name, colour) in enumerate({"cats": (255, 0, 0), "dogs": (0, 0, 255)}.items()):
        folder = tmp_path / "data/raw2" / name
        folder.mkdir(parents=True)
        for index in range(10):
            picture = Image.new("RGB", (20 + index, 30 + label), colour)
            picture.save(folder / f"{index}.{'png' if index % 2 else 'jpg'}")
    shutil.rmtree(tmp_path / "data/raw")
    (tmp_path / "data/raw2").rename(tmp_path / "data/raw")
    update = {"validation_images": 3, "test_images": 4, "image_size": 16, "channels": channels}
    options = params.preprocess.model_copy(update=update)
    chosen = params.model_copy(update={"dataset": "image_folder", "preprocess": options})
    preprocess.main(chosen)
    splits = {name: read_split(name) for name in ("train", "validation", "test")}
    assert [len(split.images) for split in splits.values()] == [13, 3, 4]
    assert splits["train"].image_shape == (channels, 16, 16)
    labels = np.concatenate([split.labels for split in splits.values()])
    assert sorted(labels) == [0] * 10 + [1] * 10
    if channels == 3:
        for split in splits.values():
            assert ((split.images[:, 0].mean(axis=(1, 2)) > 200) == (split.labels == 0)).all()
    greedy = chosen.model_copy(update={"preprocess": options.model_copy(update={"test_images": 20})})
    with pytest.raises(ParameterError, match=r"preprocess\.test_images: 20"):
        preprocess.main(greedy)
    (tmp_path / "data/raw/dogs/3.png").write_bytes(b"<html>")
    with pytest.raises(StageError, match=r"^data/raw/dogs/3.png: cannot be read as an image: [^\n]*$"):
        preprocess.main(chosen)
