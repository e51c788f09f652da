"""Inception next to the classifier: torch-fidelity's own features, and lines where its weights cannot be had.

The published weights are 96 MB. Those here have the same names and shapes, but share a few thousand random numbers.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from stages.evaluation import inception
from stages.evaluation.inception import images_to_inception_features, load_inception

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28), np.uint8)


def stand_in(value: torch.Tensor, name: str) -> torch.Tensor:
    """A tensor of that shape whose elements overlap in memory, so that it takes little of a file."""
    if name.endswith("num_batches_tracked"):
        return value.clone()
    strides = [7, 1, 3, 5][: value.dim()]
    length = 1 + sum((size - 1) * stride for size, stride in zip(value.shape, strides, strict=True))
    numbers = torch.randn(length, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if value.dim() > 1:
        numbers *= math.sqrt(2 / value[0].numel())  # so that activations neither vanish nor explode
    elif name.endswith(("bn.weight", "running_var")):
        numbers = numbers.abs() + 0.5
    return numbers.as_strided(value.shape, strides)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patched:  # the extractor's layers, before it asks for weights
        patched.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        patched.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *a, **k: {})
        state = FeatureExtractorInceptionV3("shapes", ["2048"]).state_dict()
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save({name: stand_in(value, name) for name, value in state.items()}, path)
    return path


class Malicious:
    """What runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("owned"),)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_features_are_those_of_torch_fidelity(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "SHA256", digest(weights))
    network = load_inception(str(weights), CPU)
    assert network is not None
    features = images_to_inception_features(network, IMAGES, CPU, batch_size=2)
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=str(weights))
    (expected,) = theirs(torch.from_numpy(IMAGES.repeat(3, axis=1)))
    assert features.shape == (3, 2048)
    assert np.allclose(features, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert np.abs(features[0] - features[1]).max() > 1e-3 * np.abs(features).max()  # images differ


def test_nothing_is_loaded_unless_asked_for() -> None:
    assert load_inception("none", CPU) is None


def test_weights_that_cannot_be_had_are_one_line(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "text.pth"
    other.write_text("not weights")
    malicious = tmp_path / "pickle.pth"
    torch.save({"weights": Malicious()}, malicious)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.URL_INCEPTION_V3", "http://127.0.0.1:9/x.pth")
    for given, sha256, says in (
        (tmp_path / "none.pth", "", f"No such file or directory: '{tmp_path}/none.pth'"),
        (weights, "0" * 64, f"SHA-256 is {digest(weights)}, expected {'0' * 64}"),
        (other, digest(other), "inception: no scores by its features: "),
        (malicious, digest(malicious), "weights_only"),
        ("download", "", "inception: no scores by its features: "),
    ):
        monkeypatch.setattr(inception, "SHA256", sha256)
        assert load_inception(str(given), CPU) is None
        told = capsys.readouterr().err
        assert says in told
        assert told.count("\n") == 1
    assert not (tmp_path / "owned").exists()
