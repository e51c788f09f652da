"""Stacked MNIST on real data in a clone, in the smoke budget."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.conftest import clone_repository, run, set_parameters
from tests.test_pipeline import BEFORE, FEWER, stages_of, stages_run


def test_stacked_mnist_goes_through_the_whole_pipeline(tmp_path: Path) -> None:
    """Three digits an image: a thousand classes, of which a generator this young reaches some."""
    repository = clone_repository(tmp_path / "reprogan")
    set_parameters(
        repository,
        {
            "budget": "smoke",
            "dataset": "stacked_mnist",
            "classifier.images.smoke": 6400,
            "evaluate.usefulness.images.smoke": 64,
        }
        | FEWER,
    )
    output = run("dvc", "repro", "evaluate@dcgan", cwd=repository).stdout
    assert BEFORE | stages_of("dcgan") == stages_run(output)
    images = np.load(repository / "data/samples/dcgan/images.npy")
    assert images.shape == (1000, 3, 28, 28)
    scores = json.loads((repository / "metrics/dcgan/scores.json").read_text())
    assert np.log(1000 / scores["modes"]) <= scores["class_kl"] + 1e-9  # least where modes are even
    assert scores["recall_real"] > 0.8
    accuracy = json.loads((repository / "metrics/classifier.json").read_text())["test_accuracy"]
    assert accuracy > 0.8  # all three digits right
