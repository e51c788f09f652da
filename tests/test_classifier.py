"""The classifier stage: what it builds for plain and for stacked images, and what it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stages import classifier
from stages.config.params import Params, load
from stages.evaluation.classifier_training import accuracy
from stages.evaluation.feature_network import load_classifier
from stages.storage.files import read_json
from stages.storage.images import Split, read_split, write_split
from tests.conftest import ROOT

DIGITS = tuple("012")


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    params = load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    small = {"width": 2, "feature_size": 4, "batch_size": 20, "images": params.classifier.images.model_copy()}
    return params.model_copy(
        update={
            "budget": "smoke",
            "device": "cpu",
            "classifier": params.classifier.model_copy(
                update=small | {"images": params.classifier.images.model_copy(update={"smoke": 400})}
            ),
            "tracking": params.tracking.model_copy(update={"enabled": False}),
        }
    )


def write_splits(channels: int, classes: tuple[str, ...], planes: int) -> None:
    for seed, name in enumerate(("train", "validation", "test")):
        random = np.random.default_rng(seed)
        labels = random.integers(0, len(classes), 60)
        write_split(name, Split(random.integers(0, 256, (60, channels, 8, 8), np.uint8), labels, classes, planes))


@pytest.mark.parametrize(
    ("channels", "classes", "planes", "expected"),
    [
        (1, DIGITS, 1, {"planes": 1, "channels": 1, "classes": 3}),
        (3, DIGITS, 1, {"planes": 1, "channels": 3, "classes": 3}),
        (3, tuple(f"{a}{b}{c}" for a in DIGITS for b in DIGITS for c in DIGITS), 3, {"planes": 3, "classes": 3}),
    ],
    ids=["grey", "colours", "three digits stacked"],
)
def test_what_is_written_is_what_was_measured(
    params: Params, channels: int, classes: tuple[str, ...], planes: int, expected: dict[str, int]
) -> None:
    write_splits(channels, classes, planes)
    classifier.main(params)
    config = read_json(Path("models/classifier/config.json"))
    assert config["network"].items() >= expected.items()
    assert config["network"]["planes"] * config["network"]["channels"] == channels
    assert config["training"] | {"images": params.classifier.model_dump()["images"]} == params.classifier.model_dump()
    device = torch.device("cpu")
    network = load_classifier(Path("models/classifier"), device)
    measured = read_json(Path("metrics/classifier.json"))
    for name in ("validation", "test"):
        assert accuracy(network, read_split(name), device) == pytest.approx(measured[f"{name}_accuracy"], abs=1 / 60)
    with torch.inference_mode():
        assert network(torch.zeros(2, channels, 8, 8)).shape == (2, len(classes))
