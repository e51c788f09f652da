"""Draw from one trained variant: models/<variant> -> data/samples/<variant>, metrics/<variant>/pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.adversarial.network import Generator, Translator
from stages.adversarial.parts import build_part
from stages.scoring.features import images_to_features, load_classifier
from stages.scoring.fid import features_to_fid
from stages.settings.command import run_stage
from stages.settings.errors import StageError
from stages.settings.params import Params, PartChoice
from stages.support.device import prepare
from stages.support.files import (
    CLASSIFIER,
    METRICS,
    MODELS,
    REFERENCE,
    SAMPLES,
    read_array,
    read_json,
    seed_folder,
    write_array,
    write_bytes,
    write_json,
)
from stages.support.images import grid_png, read_split, to_float, to_outlines, to_uint8
from stages.support.weights import read_tensors, read_weights, weights_to_bytes

SHOWN = 100  # images in the picture of samples
COLUMNS = 10


def main(params: Params, name: str) -> None:
    """Draw from the model of each seed."""
    params.variant(name)
    seeds = read_json(MODELS / name / "config.json")["variant"]["seeds"]
    for seed in seeds:
        model, samples = (seed_folder(parent / name, seeds, seed) for parent in (MODELS, SAMPLES))
        device = prepare(params, params.sample.seed)
        generator = load_generator(model, device)
        about: dict[str, Any] = {"label_role": generator.label_role, "translates": isinstance(generator, Translator)}
        if params.curves.checkpoint == "best":
            about["checkpoint_images"], weights = find_best(model, device)
            generator.load_state_dict(weights)
            write_bytes(samples / "generator.safetensors", weights_to_bytes(generator))
        write_json(samples / "about.json", about)
        arrays, pictures = draw(generator, params, read_json(model / "config.json")["classes"], device)
        for key, array in arrays.items():
            write_array(samples / f"{key}.npy", array)
        for title, png in pictures.items():
            write_bytes(seed_folder(METRICS / name / "pictures", seeds, seed) / f"{title}.png", png)
        print(f"sample: {name}: {len(arrays['images'])} images")


def find_best(model: Path, device: torch.device) -> tuple[int, dict[str, Tensor]]:
    """The snapshot whose samples have the lowest FID to validation images: training images seen, and weights."""
    snapshots = read_tensors(model / "snapshots.safetensors")
    if not any(key.startswith("generator.") for key in snapshots):
        raise StageError(f"{model}: trained without curves.checkpoint: best, it has no checkpoints; train it again")
    classifier = load_classifier(CLASSIFIER, device)
    validation = read_array(REFERENCE / "validation_features.npy")
    features = (images_to_features(classifier, samples, device)[0] for samples in snapshots["samples"].numpy())
    best = int(np.argmin([features_to_fid(of_one, validation) for of_one in features]))
    weights = {
        key.removeprefix("generator."): value[best] for key, value in snapshots.items() if key.startswith("generator.")
    }
    return int(snapshots["images_seen"][best]), weights


def draw(
    generator: Generator, params: Params, classes: int, device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, bytes]]:
    """`sample.count` images, of each class in turn where labels count, and pictures; a translator's of test images."""
    count = params.sample.count
    if isinstance(generator, Translator):
        arrays, pictures = translate_test_images(generator, count, device)
    else:
        labels = torch.arange(count, device=device) % classes
        images = generator.sample(labels, seed=params.sample.seed, truncation=params.sample.truncation)
        arrays = {"images": _to_array(images)}
        if generator.label_role != "ignored":
            arrays["labels" if generator.label_role == "class" else "codes"] = labels.cpu().numpy()
        pictures = {"samples": grid_png(arrays["images"][:SHOWN], COLUMNS)}
    for title, picture in generator.pictures(seed=params.sample.seed).items():
        pictures[title] = grid_png(_to_array(picture.images), picture.columns)
    return arrays, pictures


def translate_test_images(
    translator: Translator, count: int, device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, bytes]]:
    """The first `count` test images both ways and back again, as uint8 arrays with their labels, and pictures."""
    test = read_split("test")
    columns: dict[str, list[np.ndarray]] = {}
    translator.eval()
    with torch.inference_mode():
        for batch in torch.from_numpy(test.images[:count]).split(500):
            digits = to_float(batch.to(device))
            outlines = to_outlines(digits)
            images, made_outlines = translator.translate(outlines, "digits"), translator.translate(digits, "outlines")
            made = {
                "images": images,
                "outlines": made_outlines,
                "cycled_images": translator.translate(made_outlines, "digits"),
                "cycled_outlines": translator.translate(images, "outlines"),
            }
            for key, value in made.items():
                columns.setdefault(key, []).append(_to_array(value))
    arrays = {key: np.concatenate(parts) for key, parts in columns.items()}
    given = torch.from_numpy(test.images[:COLUMNS])
    rows = [given.numpy(), arrays["outlines"][:COLUMNS], arrays["cycled_images"][:COLUMNS]]
    rows += [_to_array(to_outlines(to_float(given))), arrays["images"][:COLUMNS], arrays["cycled_outlines"][:COLUMNS]]
    pictures = {
        "samples": grid_png(arrays["images"][:SHOWN], COLUMNS),
        "translations": grid_png(np.concatenate(rows), COLUMNS),  # given, translated, back; first digits, then outlines
    }
    return arrays | {"labels": test.labels[:count]}, pictures


def load_generator(folder: Path, device: torch.device) -> Generator:
    """The averaged generator of a model's folder; raises StageError where its files do not fit together."""
    config = read_json(folder / "config.json")
    chosen = {role: PartChoice(**config["variant"][role]) for role in ("game", "network")}
    game, network = (build_part(role, choice, f"{folder}/config.json: {role}") for role, choice in chosen.items())
    generator: Generator = game.generator(network, tuple(config["image_shape"]), config["classes"])
    read_weights(generator, folder / "generator.safetensors", device)
    return generator


def _to_array(images: Tensor) -> np.ndarray:
    if not torch.isfinite(images).all():
        raise StageError("what the generator draws is not finite: are its weights in models/ whole?")
    return to_uint8(images).cpu().numpy()


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
