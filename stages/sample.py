"""Draw from one trained variant: models/<variant> -> data/samples/<variant>, metrics/variants/<variant>/pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from stages.config.command import run_stage
from stages.config.params import Params
from stages.contracts.generator import first_in_turn, labels_like
from stages.sampling.best_checkpoint import choose_checkpoint
from stages.sampling.loading import load_generator
from stages.storage.files import read_json, write_array, write_bytes, write_json
from stages.storage.images import grid_png, read_split
from stages.storage.paths import CHECKPOINT, CONFIG, MODELS, PICTURES, SAMPLES, VARIANTS, seed_folder
from stages.training import processes
from stages.training.device import prepare
from stages.training.launch import is_launched, launch

TOGETHER = 1000  # samples that are drawn at a time, as floats; batches of translators do not end there
FEW = 10_000  # training images below which no more samples are drawn than there are training images


def main(params: Params, name: str) -> None:
    """Choose a checkpoint of the model of each seed, and draw from it; a training that diverged left none."""
    params.variant(name)
    if params.sample.processes > 1 and not is_launched():
        launch(params.sample.processes, "stages.sample", name)
        return
    device = prepare(params, params.sample.seed)
    processes.join(device)
    seeds = read_json(MODELS / name / CONFIG)["seeds"]
    (VARIANTS / name / PICTURES).mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        model, samples = (seed_folder(parent / name, seeds, seed) for parent in (MODELS, SAMPLES))
        config = read_json(model / CONFIG)
        if "diverged" not in config:
            draw(params, model, samples, seed_folder(VARIANTS / name / PICTURES, seeds, seed), device)
        elif processes.is_first():
            write_json(samples / CHECKPOINT, {"diverged": config["diverged"]})


def draw(params: Params, model: Path, samples: Path, pictures: Path, device: torch.device) -> None:
    """Samples and pictures of one model; of several processes each draws some of the samples."""
    options, test = params.sample, read_split("test")
    best = choose_checkpoint(model, samples, params.training.checkpoint, device) if processes.is_first() else None
    generator = load_generator(model, device, processes.broadcast_object(best))
    trained = torch.from_numpy(read_split("train").labels)
    labels = labels_like(generator, trained, count_samples(options.count, len(trained))).to(device)
    own = processes.own_rows(len(labels), TOGETHER)
    parts = [
        generator.draw(
            labels[start : min(start + TOGETHER, own.stop)],
            test,
            first=start,
            seed=options.seed,
            truncation=options.truncation,
        )
        for start in range(own.start, max(own.stop, own.start + 1), TOGETHER)
    ]
    arrays = {name: processes.gather(np.concatenate([part[name] for part in parts])) for name in parts[0]}
    if not processes.is_first():
        return
    for name, array in arrays.items():
        write_array(samples / f"{name}.npy", array)
    in_turn = labels[torch.from_numpy(first_in_turn(arrays)).to(device)]
    shown = generator.draw_pictures(arrays, in_turn, test, seed=options.seed, truncation=options.truncation)
    for title, picture in shown.items():
        write_bytes(pictures / f"{title}.png", grid_png(picture.images, picture.columns))
    print(f"sample: {model.relative_to(MODELS)}: {len(arrays['images'])} images")


def count_samples(asked: int, training_images: int) -> int:
    """How many to draw. The real baseline has training images in their place, all where they are fewer.

    A score of few images is biased, so next to a baseline of few more samples would look better than real images.
    """
    return asked if training_images >= FEW else min(asked, training_images)


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
