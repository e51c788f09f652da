"""The feature network: shapes for odd sizes and colours, and loading what was saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stages.config.errors import StageError
from stages.evaluation import feature_network
from stages.evaluation.feature_network import FeatureNetwork, images_to_features, load_classifier
from stages.storage.files import write_json


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 9, 13), (3, 130, 259)])
def test_any_image_shape_gives_features_and_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    config = dict(zip(("channels", "height", "width"), shape, strict=True)) | {
        "base": 2,
        "features": 6,
        "classes": 4,
    }
    network = FeatureNetwork(**config).eval()
    for layer in network.modules():  # a new norm is the identity, and one that is lost would not be missed
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    write_json(tmp_path / "config.json", {"network": config})
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
    device = torch.device("cpu")
    monkeypatch.setattr(feature_network, "BATCH_PIXELS", 2 * images.shape[2] * images.shape[3])
    features, logits = images_to_features(load_classifier(tmp_path, device), images, device)
    assert features.shape == (5, 6)
    expected = network(torch.from_numpy(images) / 127.5 - 1).detach().numpy()
    assert logits == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("config", [{}, {"network": {"base": 2}}, {"network": {"more": 1}}, {"network": [1]}])
def test_a_config_of_something_else_is_refused_in_one_line(tmp_path: Path, config: dict[str, Any]) -> None:
    write_json(tmp_path / "config.json", config)
    with pytest.raises(StageError, match=r"^\S+/config.json: describes no classifier: [^\n]+$"):
        load_classifier(tmp_path, torch.device("cpu"))


def test_large_images_are_averaged_down_first() -> None:
    torch.manual_seed(0)
    sizes = {"base": 2, "features": 6, "classes": 4}
    large, small = FeatureNetwork(3, 130, 259, **sizes).eval(), FeatureNetwork(3, 65, 129, **sizes).eval()
    large.load_state_dict(small.state_dict())
    images = torch.randn(2, 3, 130, 259)
    means = images[..., :258].unflatten(3, (129, 2)).unflatten(2, (65, 2)).mean(dim=(3, 5))
    assert torch.allclose(large(images), small(means), atol=1e-5)
    assert FeatureNetwork(3, 127, 300, **sizes).shrinking == 1


def test_each_plane_is_read_by_the_same_network_and_classes_combine() -> None:
    """Three digits as colours: features side by side, and the logarithms of a thousand products of probabilities."""
    torch.manual_seed(0)
    digits = {"channels": 1, "height": 8, "width": 8, "base": 2, "features": 6, "classes": 10}
    alone, stacked = FeatureNetwork(**digits).eval(), FeatureNetwork(**digits, planes=3).eval()
    stacked.load_state_dict(alone.state_dict())
    images = torch.randn(5, 3, 8, 8)
    each = [images[:, plane, None] for plane in range(3)]
    assert torch.allclose(stacked.features(images), torch.cat([alone.features(plane) for plane in each], dim=1))
    first, second, third = (alone(plane).softmax(dim=1) for plane in each)
    found = stacked(images).exp()
    assert found.shape == (5, 1000)
    assert torch.allclose(found.sum(dim=1), torch.ones(5), atol=1e-5)
    for number in (0, 7, 142, 999):
        expected = first[:, number // 100] * second[:, number // 10 % 10] * third[:, number % 10]
        assert torch.allclose(found[:, number], expected, atol=1e-6)
