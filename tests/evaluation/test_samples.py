"""What is no set of samples ends in one line, and the scores that were there stay as they were."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stages.config.errors import StageError
from stages.evaluation.samples import (
    check_features,
    read_bicubic,
    read_cycles,
    read_labels,
    read_pairs,
    read_samples,
)

GOOD = np.zeros((200, 1, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((200, 1, 28, 28), np.nan), "got float64 (200, 1, 28, 28)"),
        (GOOD.astype(np.int16) - 1, "got int16"),
        (GOOD[:, 0], "got uint8 (200, 28, 28)"),
        (np.array(5, np.uint8), "got uint8 ()"),
        (np.zeros((200, 3, 28, 28), np.uint8), "got uint8 (200, 3, 28, 28)"),
        (np.zeros((200, 1, 32, 32), np.uint8), "got uint8 (200, 1, 32, 32)"),
    ],
)
def test_wrong_images_are_refused(tmp_path: Path, array: np.ndarray, says: str) -> None:
    np.save(tmp_path / "images.npy", array)
    with pytest.raises(StageError) as refused:
        read_samples(tmp_path / "images.npy", (1, 28, 28))
    message = str(refused.value)
    assert f"{tmp_path}/images.npy: expected uint8 (count, 1, 28, 28), {says}" in message
    assert "\n" not in message


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(tmp_path: Path, count: int) -> None:
    np.save(tmp_path / "images.npy", GOOD[:count])
    with pytest.raises(StageError, match=rf"^\S+images.npy: {count} samples are too few: expected at least 2$"):
        read_samples(tmp_path / "images.npy", (1, 28, 28))


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"images.npy: cannot be read"):
        read_samples(tmp_path / "images.npy", (1, 28, 28))
    np.save(tmp_path / "images.npy", GOOD)
    content = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(content[:1000])
    with pytest.raises(StageError, match=r"images.npy: cannot be read"):
        read_samples(tmp_path / "images.npy", (1, 28, 28))


@pytest.mark.parametrize(
    "labels",
    [np.zeros(199, np.int64), np.zeros(200), np.full(200, 10), np.full(200, -1), np.zeros((200, 1), np.int64)],
    ids=["too few", "floats", "too large", "negative", "two axes"],
)
def test_wrong_labels_are_refused(tmp_path: Path, labels: np.ndarray) -> None:
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(StageError, match=r"labels.npy: expected int64 \(200,\), each from 0 to 9, got"):
        read_labels(tmp_path / "labels.npy", 200, 10)
    np.save(tmp_path / "labels.npy", np.arange(200) - 1)
    with pytest.raises(StageError, match=r"got int64 \(200,\), from -1 to 198$"):
        read_labels(tmp_path / "labels.npy", 200, 10)


def test_missing_labels_are_refused_and_right_ones_taken(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"labels.npy: cannot be read: .*No such file"):
        read_labels(tmp_path / "labels.npy", 200, 10)
    np.save(tmp_path / "labels.npy", np.arange(200) % 10)
    assert read_labels(tmp_path / "labels.npy", 200, 10).max() == 9


def test_features_that_say_nothing_are_refused() -> None:
    with pytest.raises(StageError, match="features of samples are not finite"):
        check_features(Path("data/samples/mlp"), np.full((20, 8), np.nan))
    check_features(Path("data/samples/mlp"), np.zeros((8, 8)))  # all alike: that is a result


def test_a_translator_is_compared_with_the_test_images_that_it_started_from(tmp_path: Path) -> None:
    train, test, made = np.random.default_rng(0).integers(0, 256, (3, 6, 1, 12, 12), np.uint8)

    def see(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images.reshape(len(images), -1), np.eye(6)[images[:, 0, 0, 0] % 6]

    evaluator: Any = SimpleNamespace(
        train=SimpleNamespace(images=train), test=SimpleNamespace(images=test), features_and_logits=see
    )
    for level, name in enumerate(("outlines", "cycled_images", "cycled_outlines", "bicubic"), 1):
        np.save(tmp_path / f"{name}.npy", np.full_like(made[:4], level))
    pairs, cycles = (read(tmp_path, made[:4], evaluator) for read in (read_pairs, read_cycles))
    assert np.array_equal(pairs["digits"], test[:4])
    assert pairs["digit_classes"].tolist() == (test[:4, 0, 0, 0] % 6).tolist()
    assert [cycles[name].max() for name in ("made_outlines", "cycled_digits", "cycled_outlines")] == [1, 2, 3]
    assert (read_bicubic(tmp_path, made[:4], evaluator).features == 4).all()
