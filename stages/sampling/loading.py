"""Load a trained generator from its model's folder, as it ended or as it was at a snapshot."""

from pathlib import Path

import torch
from safetensors.torch import load

from stages.config.components import resolve
from stages.contracts.generator import Generator
from stages.sampling.snapshots import snapshot_weights
from stages.storage.files import read_json
from stages.storage.paths import CONFIG, GENERATOR
from stages.storage.weights import read_weights

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
    read_weights(generator, folder / GENERATOR, device, network.memory_format)  # type: ignore[attr-defined]
    if checkpoint_images is not None:
        generator.load_state_dict(load(snapshot_weights(folder, checkpoint_images)))
    return generator
