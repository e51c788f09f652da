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

from stages.storage.files import one_line, socket_timeout
from stages.storage.paths import repository

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # of the weights of published FIDs
LAYER = "2048"  # the last pooling's features
TIMEOUT_SECONDS = 60  # of a download that stalls


def load_inception(weights: str, device: torch.device) -> nn.Module | None:
    """The network with `weights` (none, download, or a file), or None; one line on stderr where it cannot be loaded."""
    if weights == "none":
        return None
    try:
        return _load(weights, device)
    except Exception as error:  # what is wrong with weights must not cost the other scores
        reason = f"{type(error).__name__}: {one_line(error)}"
        print(f"inception: no scores by its features: {reason}", file=sys.stderr)
        return None


def _load(weights: str, device: torch.device) -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    if weights == "download":
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name  # torch-fidelity's own place
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with socket_timeout(TIMEOUT_SECONDS):
                torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), SHA256, progress=False)
    else:
        path = repository() / weights  # not in an experiment's temporary copy
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise ValueError(f"{path}: SHA-256 is {found}, expected {SHA256}: the weights of published FIDs")
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
