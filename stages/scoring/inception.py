"""Inception as a second feature network, through torch-fidelity: what published FIDs are measured with.

Its features say little about digits; they are there to compare with papers, and for images of other kinds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import nn

from stages.settings.params import Inception
from stages.support.files import sha256

LAYER = "2048"  # the last pooling's features


def load_inception(options: Inception, device: torch.device) -> nn.Module | None:
    """The network where it was asked for; where it cannot be had, one line on stderr that says why, and None."""
    if options.weights == "none":
        return None
    try:
        return _load(options, device)
    except (ImportError, OSError, RuntimeError, UnpicklingError) as error:
        reason = " ".join(str(error).split())[:300]
        print(f"inception: no scores by its features: {reason}", file=sys.stderr)
        return None


def _load(options: Inception, device: torch.device) -> nn.Module:
    """The network; raises what `load_inception` tells of."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    path = Path(options.weights)
    if options.weights == "download":
        # where torch-fidelity looks, too
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=options.sha256, progress=False)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file (evaluate.inception.weights)")
    if (found := sha256(path)) != options.sha256:
        raise OSError(f"{path}: SHA-256 is {found}, expected {options.sha256} (evaluate.inception.sha256)")
    torch.load(path, weights_only=True)  # torch-fidelity unpickles freely: by then the file has proved to hold tensors
    return FeatureExtractorInceptionV3("inception", [LAYER], feature_extractor_weights_path=str(path)).to(device)


@torch.inference_mode()
def images_to_inception_features(
    network: Any, images: np.ndarray, device: torch.device, batch_size: int = 50
) -> np.ndarray:
    """uint8 (count, 1 or 3 channels, height, width) to float32 features (count, 2048)."""
    colours = torch.from_numpy(images).expand(-1, 3, -1, -1)
    return torch.cat([network(batch.to(device))[0].cpu() for batch in colours.split(batch_size)]).numpy()
