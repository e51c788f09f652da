"""The feature network: shapes for odd sizes and colours, and loading what was saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stages.scoring.features import FeatureNetwork, images_to_features, load_classifier
from stages.support.files import write_json


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 9, 13)])
def test_any_image_shape_gives_features_and_logits(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    config = dict(zip(("channels", "height", "width"), shape, strict=True)) | {
        "base": 2,
        "features": 6,
        "classes": 4,
    }
    network = FeatureNetwork(**config).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    write_json(tmp_path / "config.json", config)
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
    device = torch.device("cpu")
    features, logits = images_to_features(load_classifier(tmp_path, device), images, device, batch_size=2)
    assert features.shape == (5, 6)
    expected = network(torch.from_numpy(images) / 127.5 - 1).detach().numpy()
    assert logits == pytest.approx(expected, abs=1e-5)
