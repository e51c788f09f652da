"""Train one variant: data/processed/train -> models/<variant>, metrics/<variant>/losses.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from stages.adversarial.batches import Batches
from stages.adversarial.engine import Engine
from stages.adversarial.parts import build_parts
from stages.settings.command import run_stage
from stages.settings.errors import StageError
from stages.settings.params import Params
from stages.support.device import prepare
from stages.support.files import METRICS, MODELS, seed_folder, sha256, write_bytes, write_csv, write_json
from stages.support.images import read_split, to_uint8
from stages.support.weights import weights_to_bytes
from stages.tracking.journal import Journal
from stages.tracking.progress import Progress

GRID = 64  # images in a grid of samples


def main(params: Params, name: str) -> None:
    """Train under the budget, once for each seed."""
    rows = [{"seed": seed, **row} for seed in params.variant(name).seeds for row in train_seed(params, name, seed)]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_csv(METRICS / name / "losses.csv", columns, rows)


def train_seed(params: Params, name: str, seed: int) -> list[dict[str, float]]:
    """Write both players (the generator averaged) and samples from along the way; return rows of the loss curve."""
    variant = params.variant(name)
    parts = build_parts(name, variant)
    device = prepare(params, seed)
    train = read_split("train")
    rules = parts.pop("game")
    game = rules.build(**parts, image_shape=train.image_shape, classes=train.classes)
    images = rules.training_images(torch.from_numpy(train.images)).to(device)
    labels = torch.from_numpy(train.labels)[: len(images)].to(device)
    engine = Engine(game, Batches(images, labels, variant.batch_size), variant)
    about = variant.model_dump(exclude={"known_for", "paper"})
    config: dict[str, Any] = {
        "variant": about | {"images": getattr(variant.images, params.budget)},
        "seed": seed,
        "budget": params.budget,
        "device": device.type,
        "threads": params.threads,
        "image_shape": list(train.image_shape),
        "classes": train.classes,
        "parameters": {player: _count(getattr(game, player)) for player in ("generator", "discriminator")},
        "receptive_field": list(game.receptive_field(train.image_shape)),  # of a logit, in pixels
    }
    folder = seed_folder(MODELS / name, variant.seeds, seed)
    with Journal(params.tracking, name) as journal:
        journal.begin_run(name, config)
        journal.dataset("data/processed/train", len(images))
        rows, snapshots = play(engine, name, config, params, journal)
        write_bytes(folder / "snapshots.safetensors", save(snapshots))
        write_bytes(folder / "discriminator.safetensors", weights_to_bytes(engine.game.discriminator))
        write_bytes(folder / "generator.safetensors", weights_to_bytes(engine.average))
        write_json(folder / "config.json", config)
        files = [folder / "generator.safetensors", folder / "config.json"]
        journal.model(files, config["image_shape"], sha256(files[0]))
    return rows


def play(
    engine: Engine, name: str, config: Mapping[str, Any], params: Params, journal: Journal
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Play the whole game; return the rows of the loss curve, and what the snapshots on the way hold, stacked.

    That is `images_seen`, `samples` and, where the best is to be chosen, the generator's weights (`generator.…`).
    """
    total = config["variant"]["images"]
    progress = Progress(name, total)
    readings = _milestones(total, params.curves.points)
    snapshots = _milestones(total, params.curves.snapshots)
    asked = torch.arange(params.curves.snapshot_images, device=engine.device) % config["classes"]
    rows: list[dict[str, float]] = []
    kept: list[dict[str, torch.Tensor]] = []
    for seen in engine.play(total):
        if readings and seen >= readings[0]:
            readings = [milestone for milestone in readings if milestone > seen]
            scalars = engine.read_scalars()
            _raise_if_diverged(name, seen, scalars)
            rows.append({"images": seen, **scalars})
            progress.update(min(seen, total), scalars)
            journal.metrics(seen, scalars)
        if snapshots and seen >= snapshots[0]:
            snapshots = [milestone for milestone in snapshots if milestone > seen]
            images = engine.game.sample(engine.average, asked, engine.batches.images, seed=params.curves.seed)
            samples = to_uint8(images).cpu()
            kept.append({"images_seen": torch.tensor(seen), "samples": samples})
            if params.curves.checkpoint == "best":
                state = engine.average.state_dict()
                kept[-1] |= {f"generator.{key}": value.to("cpu", copy=True) for key, value in state.items()}
            journal.images("samples", seen, samples[:GRID].numpy())
    progress.close()
    return rows, {key: torch.stack([snapshot[key] for snapshot in kept]).contiguous() for key in kept[0]}


def _milestones(total: int, count: int) -> list[int]:
    """Up to `count` evenly spaced numbers of images, the last one `total`."""
    return sorted({math.ceil(total * index / count) for index in range(1, count + 1)})


def _raise_if_diverged(name: str, seen: int, scalars: Mapping[str, float]) -> None:
    broken = {key: value for key, value in scalars.items() if not math.isfinite(value)}
    if broken:
        raise StageError(
            f"{name} diverged within {seen} images: {broken}; try a lower learning_rate, a regularizer or "
            "precision: float32"
        )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
