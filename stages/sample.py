"""Draw from one trained variant: models/<variant> -> data/samples/<variant>, metrics/<variant>/grid.png."""

from __future__ import annotations

from pathlib import Path

import torch

from stages.adversarial.network import Generator
from stages.support.command import run_stage
from stages.support.device import prepare
from stages.support.files import METRICS, MODELS, SAMPLES, read_json, write_array, write_bytes
from stages.support.grids import grid_png
from stages.support.images import to_uint8
from stages.support.params import Params, PartChoice
from stages.support.parts import build_part
from stages.support.weights import read_weights

GRID_ROWS = 10


def main(params: Params, name: str) -> None:
    """Draw `sample.count` images, of each class in turn where the variant is conditional."""
    params.variant(name)
    device = prepare(params, params.sample.seed)
    generator = load_generator(MODELS / name, device)
    labels = torch.arange(params.sample.count, device=device) % read_json(MODELS / name / "config.json")["classes"]
    images = to_uint8(generator.sample(labels, seed=params.sample.seed)).cpu().numpy()
    write_array(SAMPLES / name / "images.npy", images)
    if generator.conditional:
        write_array(SAMPLES / name / "labels.npy", labels.cpu().numpy())
    write_bytes(METRICS / name / "grid.png", grid_png(images[: GRID_ROWS * 10], columns=10))
    print(f"sample: {name}: {len(images)} images")


def load_generator(folder: Path, device: torch.device) -> Generator:
    """The averaged generator of a model's folder; raises StageError where its files do not fit together."""
    config = read_json(folder / "config.json")
    network = build_part("network", PartChoice(**config["variant"]["network"]), f"{folder}/config.json: network")
    generator: Generator = network.generator(tuple(config["image_shape"]), config["classes"])
    read_weights(generator, folder / "generator.safetensors", device)
    return generator


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
