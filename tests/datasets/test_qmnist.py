"""QMNIST: labels of eight numbers, and a test set of more images than MNIST's."""

from __future__ import annotations

import numpy as np
import pytest

from stages.datasets.qmnist import QMNIST
from stages.storage.paths import FETCHED
from tests.datasets.small import idx_bytes, levels_of, preprocess_options, write_raw


def test_the_class_comes_first_and_mnists_test_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert QMNIST.test_images == 10_000
    monkeypatch.setattr(QMNIST, "test_images", 4)
    write_raw(QMNIST)
    for name, levels in {"train": np.arange(60), "test": np.arange(100, 110)}.items():
        more = np.stack([levels % 10, *np.full((7, len(levels)), 77)], axis=1)
        (FETCHED / f"qmnist-{name}-labels-idx2-int").write_bytes(idx_bytes(more))
    train, test = QMNIST().load(preprocess_options(), np.random.default_rng(0))
    assert levels_of(train.images) == list(range(60))
    assert train.labels.tolist() == list(range(10)) * 6
    assert levels_of(test.images) == [100, 101, 102, 103]
    assert test.labels.tolist() == [0, 1, 2, 3]
    assert train.labels.dtype == test.labels.dtype == np.int64
    assert test.classes == tuple("0123456789")
