"""Inception as a second feature network, through torch-fidelity: what published FIDs are measured with.

Its features say little about digits. They are there to compare with papers, and for images of other kinds.
"""

import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stages.config.params import Inception
from stages.storage.files import one_line, socket_timeout
from stages.storage.paths import repository

LAYER = "2048"  # the last pooling's features
TIMEOUT_SECONDS = 60  # of a download that stalls


def load_inception(options: Inception, device: torch.device) -> nn.Module | None:
    """The network if it is asked for; if it cannot be loaded, one line on stderr that says why, and None."""
    if options.weights == "none":
        return None
    try:
        return _load(options, device)
    except Exception as error:  # what is wrong with weights must not cost the other scores
        reason = f"{type(error).__name__}: {one_line(error)}"
        print(f"inception: no scores by its features: {reason}", file=sys.stderr)
        return None


def _load(options: Inception, device: torch.device) -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    if options.weights == "download":
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name  # torch-fidelity's own place
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with socket_timeout(TIMEOUT_SECONDS):
                torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), options.sha256, progress=False)
    else:
        path = repository() / options.weights  # not in an experiment's temporary copy
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != options.sha256:
        raise ValueError(f"{path}: SHA-256 is {found}, expected {options.sha256} (evaluate.inception.sha256)")
    # torch-fidelity unpickles freely, so it gets what the safe loader has read of these very bytes
    tensors = io.BytesIO()
    torch.save(torch.load(io.BytesIO(content), weights_only=True), tensors)
    tensors.seek(0)
    return FeatureExtractorInceptionV3("inception", [LAYER], feature_extractor_weights_path=tensors).to(device)


@torch.inference_mode()
def images_to_inception_features(
    network: Any, images: np.ndarray, device: torch.device, batch_size: int = 50
) -> np.ndarray:
    """uint8 (count, 1 or 3 channels, height, width) to float32 features (count, 2048)."""
    colours = torch.from_numpy(images).expand(-1, 3, -1, -1)
    return torch.cat([network(batch.to(device))[0].cpu() for batch in colours.split(batch_size)]).numpy()
