"""Which checkpoint to sample from, and what the choice leaves for the evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from stages.evaluation.feature_network import FeatureNetwork, images_to_features, load_classifier
from stages.sampling.best_checkpoint import choose_checkpoint
from stages.storage.files import read_array, read_json, write_array, write_bytes, write_json
from stages.storage.paths import CHECKPOINT, CLASSIFIER, CONFIG, REFERENCE, SNAPSHOTS, WEIGHTS
from stages.storage.weights import weights_to_bytes

CPU = torch.device("cpu")
MODEL, SAMPLES = Path("models/x"), Path("data/samples/x")
LEVELS = (60, 200, 120)  # of the three snapshots' pixels


def noise(level: int, count: int) -> np.ndarray:
    """uint8 images (count, 1, 8, 8) around that level."""
    return np.random.default_rng(level).normal(level, 20, (count, 1, 8, 8)).clip(0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three snapshots, a classifier of random weights, and validation images that look like the second snapshot."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    shape = {"channels": 1, "height": 8, "width": 8, "base": 2, "features": 4, "classes": 3}
    write_bytes(CLASSIFIER / WEIGHTS, weights_to_bytes(FeatureNetwork(**shape)))
    write_json(CLASSIFIER / CONFIG, {"network": shape})
    samples = torch.from_numpy(np.stack([noise(level, 50) for level in LEVELS]))
    write_bytes(MODEL / SNAPSHOTS, save({"images_seen": torch.tensor([10, 20, 30]), "samples": samples}))
    validation, _ = images_to_features(load_classifier(CLASSIFIER, CPU), noise(LEVELS[1] + 1, 200), CPU)
    write_array(REFERENCE / "validation_features.npy", validation)


@pytest.mark.parametrize(("rule", "expected", "images"), [("last", None, 30), ("best", 20, 20)])
def test_the_best_is_the_snapshot_nearest_to_validation_images(rule: str, expected: int | None, images: int) -> None:
    assert choose_checkpoint(MODEL, SAMPLES, rule, CPU) == expected
    assert read_json(SAMPLES / CHECKPOINT) == {"images": images, "rule": rule}


def test_features_and_logits_of_all_snapshots_are_kept_without_validation_images() -> None:
    (REFERENCE / "validation_features.npy").unlink()
    assert choose_checkpoint(MODEL, SAMPLES, "last", CPU) is None
    features, logits = (read_array(SAMPLES / f"snapshot_{kind}.npy") for kind in ("features", "logits"))
    assert (features.shape, logits.shape) == ((3, 50, 4), (3, 50, 3))
    classifier = load_classifier(CLASSIFIER, CPU)
    for index, level in enumerate(LEVELS):
        expected = images_to_features(classifier, noise(level, 50), CPU)
        assert np.array_equal(features[index], expected[0])
        assert np.array_equal(logits[index], expected[1])
