"""Train one variant: data/processed/train -> models/<variant>, metrics/<variant>/losses.csv."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from stages.adversarial.engine import Engine
from stages.adversarial.game import Game
from stages.adversarial.roles import Generator
from stages.support.command import run_stage
from stages.support.device import prepare
from stages.support.errors import StageError
from stages.support.files import METRICS, MODELS, write_bytes, write_csv, write_json
from stages.support.images import grid_png, read_split, to_uint8
from stages.support.params import Params
from stages.support.parts import build_parts
from stages.tracking.journal import Journal
from stages.tracking.progress import Progress

GRID = 64  # images in a grid of samples


def main(params: Params, name: str) -> None:
    """Train under the budget; keep both players (the generator averaged) and samples from along the way."""
    variant = params.variant(name)
    parts = build_parts(name, variant)
    device = prepare(params, variant.seed)
    train = read_split("train")
    game = Game(**parts, image_shape=train.image_shape, classes=train.classes)
    images, labels = torch.from_numpy(train.images).to(device), torch.from_numpy(train.labels).to(device)
    engine = Engine(game, images, labels, variant)
    total = getattr(variant.images, params.budget)

    config = {
        "network": variant.network.model_dump(),
        "image_shape": list(train.image_shape),
        "classes": train.classes,
        "parameters": {player: _count(getattr(game, player)) for player in ("generator", "discriminator")},
    }
    resolved = {"budget": params.budget, "device": device.type, "threads": params.threads}
    with Journal(params.tracking, name) as journal:
        journal.begin_run(name, variant.model_dump() | resolved | {"images": total})
        journal.dataset("data/processed/train", len(images))
        rows, snapshots = play(engine, name, total, params, journal)
        save_run(name, game, engine.average, config, rows, snapshots, journal)


def play(
    engine: Engine, name: str, total: int, params: Params, journal: Journal
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Play the whole game; return the rows of the loss curve, and snapshots of samples on the way."""
    progress = Progress(name, total)
    readings = _milestones(total, params.curves.points)
    snapshots = _milestones(total, params.curves.snapshots)
    classes = int(engine.batches.labels.max()) + 1
    asked = torch.arange(params.curves.snapshot_images, device=engine.device) % classes
    rows: list[dict[str, float]] = []
    kept: list[tuple[int, torch.Tensor]] = []
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
            samples = to_uint8(engine.average.sample(asked, seed=params.curves.seed)).cpu()
            kept.append((seen, samples))
            journal.image("samples", seen, grid_png(samples[:GRID].numpy(), columns=8))
    progress.close()
    seen_at, images = zip(*kept, strict=True)
    return rows, {"images_seen": torch.tensor(seen_at), "samples": torch.stack(images).contiguous()}


def save_run(
    name: str,
    game: Game,
    average: Generator,
    config: Mapping[str, Any],
    rows: list[dict[str, float]],
    snapshots: dict[str, torch.Tensor],
    journal: Journal,
) -> None:
    """Write the outputs, and tell the journal of the model."""
    generator = save(_weights(average))
    folder = MODELS / name
    write_bytes(folder / "generator.safetensors", generator)
    write_bytes(folder / "discriminator.safetensors", save(_weights(game.discriminator)))
    write_bytes(folder / "snapshots.safetensors", save(snapshots))
    write_json(folder / "config.json", config)
    write_csv(METRICS / name / "losses.csv", list(rows[0]), rows)
    files = {"generator.safetensors": generator, "config.json": json.dumps(config).encode()}
    journal.model(files, config["image_shape"], hashlib.sha256(generator).hexdigest())


def _milestones(total: int, count: int) -> list[int]:
    """Up to `count` evenly spaced numbers of images, the last one `total`."""
    return sorted({math.ceil(total * index / count) for index in range(1, count + 1)})


def _raise_if_diverged(name: str, seen: int, scalars: Mapping[str, float]) -> None:
    broken = {key: value for key, value in scalars.items() if not np.isfinite(value)}
    if broken:
        raise StageError(
            f"{name} diverged within {seen} images: {broken}; try a lower learning_rate, a regularizer or "
            "precision: float32"
        )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
