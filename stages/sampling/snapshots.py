"""What a model was at the snapshots of its training. No torch: the report and the exporter do without it."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from stages.config.errors import StageError
from stages.storage.files import unreadable
from stages.storage.paths import SNAPSHOTS

PREFIX = "generator."


def read_snapshots(folder: Path) -> dict[str, np.ndarray]:
    """All snapshots of a model's folder, stacked, by name; raises StageError where the file is missing or broken."""
    try:
        return load_file(folder / SNAPSHOTS)
    except (OSError, SafetensorError) as error:
        raise unreadable(folder / SNAPSHOTS, error) from None


def snapshot_weights(folder: Path, images: int) -> bytes:
    """The generator's weights after so many images, as the bytes of a safetensors file.

    Raises StageError where the model's folder has none.
    """
    snapshots = read_snapshots(folder)
    found = np.flatnonzero(snapshots["images_seen"] == images)
    weights = {name: stacked for name, stacked in snapshots.items() if name.startswith(PREFIX)}
    if not len(found) or not weights:
        raise StageError(f"{folder / SNAPSHOTS}: holds no weights of a snapshot after {images} images")
    return save({name.removeprefix(PREFIX): np.asarray(stacked[found[0]]) for name, stacked in weights.items()})
