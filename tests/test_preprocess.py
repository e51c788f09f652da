"""Preprocess: splits are disjoint, whole and the same for a seed, and know what their classes are called."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from stages import preprocess
from stages.config.errors import ParameterError, StageError
from stages.config.params import Params, load
from stages.datasets.mnist import MNIST
from stages.storage.images import read_split
from stages.storage.paths import PROCESSED
from tests.conftest import ROOT
from tests.datasets.small import levels_of, write_raw

SPLITS = ("train", "validation", "test")


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """60 training images, of which 12 are for validation, and 10 test images; a label is its image's level mod 10."""
    loaded = load(ROOT / "params.yaml", components=False)
    monkeypatch.chdir(tmp_path)
    write_raw(MNIST)
    options = loaded.preprocess.model_copy(update={"validation_images": 12, "seed": 0})
    return loaded.model_copy(update={"dataset": "mnist", "preprocess": options})


def test_splits_hold_every_image_once_with_its_label(params: Params) -> None:
    preprocess.main(params)
    levels = {}
    for name in SPLITS:
        split = read_split(name)
        assert split.image_shape == (1, 4, 6)
        levels[name] = levels_of(split.images)
        assert np.array_equal(np.array(levels[name]) % 10, split.labels)
        assert split.classes == tuple("0123456789")
        assert split.planes == 1
    validation = sorted(np.random.default_rng(0).permutation(60)[:12])
    assert levels["validation"] == validation
    assert levels["train"] == [level for level in range(60) if level not in validation]
    assert levels["test"] == list(range(100, 110))


def test_the_seed_chooses_the_split(params: Params) -> None:
    chosen = {}
    for attempt, seed in {"first": 0, "again": 0, "other": 1}.items():
        seeded = params.preprocess.model_copy(update={"seed": seed})
        preprocess.main(params.model_copy(update={"preprocess": seeded}))
        chosen[attempt] = levels_of(read_split("validation").images)
    assert chosen["first"] == chosen["again"] != chosen["other"]


def test_no_image_left_to_train_on_is_refused(params: Params) -> None:
    greedy = params.preprocess.model_copy(update={"validation_images": 60})
    with pytest.raises(ParameterError, match=r"preprocess\.validation_images: 60"):
        preprocess.main(params.model_copy(update={"preprocess": greedy}))
    assert not PROCESSED.exists()


def test_a_finished_split_is_made_of_its_own_images_in_the_order_of_draws(params: Params) -> None:
    """One stream of draws: first validation, then the stacks of train, validation and test."""
    preprocess.main(params)
    plain = {name: np.array(levels_of(read_split(name).images)) for name in SPLITS}
    preprocess.main(params.model_copy(update={"dataset": "stacked_mnist"}))
    random = np.random.default_rng(0)
    random.permutation(60)
    for name, levels in plain.items():
        stacked = read_split(name)
        expected = levels[random.integers(len(levels), size=(len(levels), 3))]
        assert np.array_equal(stacked.images[:, :, 0, 0], expected)
        assert np.array_equal(stacked.labels, expected % 10 @ [100, 10, 1])
        assert (len(stacked.classes), stacked.planes) == (1000, 3)


def test_labels_without_a_name_are_refused_before_they_are_written(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MNIST, "classes", tuple("012345678"))
    with pytest.raises(StageError, match="label 9: expected the index of one of 9 classes"):
        preprocess.main(params)
    assert not PROCESSED.exists()


def test_without_raw_data_the_line_says_what_brings_them(params: Params) -> None:
    shutil.rmtree("data/fetched")
    with pytest.raises(StageError, match=r"^data/fetched: is missing or empty: run dvc repro fetch$"):
        preprocess.main(params)
    assert not PROCESSED.exists()
