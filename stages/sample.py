"""Draw from one trained variant: models/<variant> -> data/samples/<variant>, metrics/variants/<variant>/pictures."""

from __future__ import annotations

import torch

from stages.config.command import run_stage
from stages.config.params import Params
from stages.sampling.best_checkpoint import choose_checkpoint
from stages.sampling.loading import load_generator
from stages.storage.files import read_json, write_array, write_bytes, write_json
from stages.storage.images import count_images, grid_png, read_split
from stages.storage.paths import CHECKPOINT, CONFIG, MODELS, PICTURES, SAMPLES, VARIANTS, seed_folder
from stages.training.device import prepare


def main(params: Params, name: str) -> None:
    """Choose a checkpoint of the model of each seed, and draw from it; a training that diverged left none."""
    params.variant(name)
    device = prepare(params, params.sample.seed)
    seeds = read_json(MODELS / name / CONFIG)["seeds"]
    (VARIANTS / name / PICTURES).mkdir(parents=True, exist_ok=True)
    # the real baseline of as many images takes training images
    count = min(params.sample.count, count_images("train"))
    for seed in seeds:
        model, samples = (seed_folder(parent / name, seeds, seed) for parent in (MODELS, SAMPLES))
        config = read_json(model / CONFIG)
        if "diverged" in config:
            write_json(samples / CHECKPOINT, {"diverged": config["diverged"]})
            continue
        best = choose_checkpoint(model, samples, params.training.checkpoint, device)
        generator = load_generator(model, device, best)
        labels = torch.arange(count, device=device) % len(config["classes"])
        drawn = generator.draw(labels, read_split("test"), seed=params.sample.seed, truncation=params.sample.truncation)
        for key, array in drawn.arrays.items():
            write_array(samples / f"{key}.npy", array)
        for title, picture in drawn.pictures.items():
            png = grid_png(picture.images, picture.columns)
            write_bytes(seed_folder(VARIANTS / name / PICTURES, seeds, seed) / f"{title}.png", png)
        print(f"sample: {name}: {len(drawn.arrays['images'])} images")


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
