"""Load a trained generator from its model's folder, as it ended or as it was at a snapshot."""

from pathlib import Path

import torch
from safetensors.torch import save

from stages.config.components import resolve
from stages.config.errors import StageError
from stages.contracts.generator import Generator
from stages.storage.files import read_json
from stages.storage.paths import CONFIG, GENERATOR, SNAPSHOTS
from stages.storage.weights import read_tensors, read_weights, unprefixed

CPU = torch.device("cpu")


def load_generator(folder: Path | str, device: torch.device = CPU, checkpoint_images: int | None = None) -> Generator:
    """The averaged generator, ready to evaluate; of the snapshot after so many images where that is asked for.

    Its `sample` draws images in [-1, 1] of labels and a seed. Raises StageError where the folder's files do not fit
    together.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    gan, network = (resolve(role, config["variant"][role]) for role in ("gan", "network"))
    generator: Generator = gan.generator(network, tuple(config["image_shape"]), len(config["classes"]))  # type: ignore[attr-defined]
    read_weights(generator, folder / GENERATOR, device)
    if checkpoint_images is not None:
        generator.load_state_dict(snapshot_tensors(folder, checkpoint_images))
    return generator


def snapshot_tensors(folder: Path, images: int) -> dict[str, torch.Tensor]:
    """The generator's weights at the snapshot after so many images; raises StageError where there is none."""
    snapshots = read_tensors(folder / SNAPSHOTS)
    found = (snapshots["images_seen"] == images).nonzero()
    weights = unprefixed("generator", snapshots)
    if not len(found) or not weights:
        raise StageError(f"{folder / SNAPSHOTS}: holds no weights of a snapshot after {images} images")
    return {name: stacked[int(found[0])] for name, stacked in weights.items()}


def snapshot_weights(folder: Path, images: int) -> bytes:
    """The same as the bytes of a safetensors file."""
    return save({name: value.contiguous() for name, value in snapshot_tensors(folder, images).items()})
