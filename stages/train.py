"""Train one variant: data/processed/train -> models/<variant>, metrics/<variant>/losses.csv."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import nn

from stages.adversarial.batches import Batches
from stages.adversarial.checkpoints import Checkpoints, hash_files, key_of
from stages.adversarial.engine import Engine
from stages.adversarial.parts import CODE, build_parts, part_files
from stages.settings.command import run_stage
from stages.settings.errors import StageError
from stages.settings.params import Params
from stages.support.device import prepare
from stages.support.files import METRICS, MODELS, json_to_bytes, seed_folder, write_bytes, write_csv
from stages.support.images import read_split, to_uint8
from stages.support.weights import prefixed, unprefixed, weights_to_bytes
from stages.tracking.journal import Journal
from stages.tracking.progress import Progress

GRID = 64  # images in a grid of samples


class Trained(NamedTuple):
    """What the training of one seed gives: files by name, rows of the loss curve, and where it could have resumed."""

    files: dict[str, bytes]
    rows: list[dict[str, float]]
    checkpoints: Checkpoints


def main(params: Params, name: str) -> None:
    """Train under the budget, once for each seed; nothing is written before all are trained."""
    variant = params.variant(name)
    parts = build_parts(name, variant)
    folders = [CODE / folder for folder in ("adversarial", "support")]
    shared = [Path(__file__), *(file for folder in folders for file in sorted(folder.glob("*.py")))]
    code = hash_files([*shared, *part_files(variant)])
    trained = {seed: train_seed(params, name, parts, seed, code) for seed in variant.seeds}
    for seed, of_seed in trained.items():
        for file, content in of_seed.files.items():
            write_bytes(seed_folder(MODELS / name, variant.seeds, seed) / file, content)
    rows = [{"seed": seed, **row} for seed, of_seed in trained.items() for row in of_seed.rows]
    scalars = {key for row in rows for key in row} - {"seed", "images"}
    write_csv(METRICS / name / "losses.csv", ["seed", "images", *sorted(scalars)], rows)
    for of_seed in trained.values():
        of_seed.checkpoints.remove()


def train_seed(params: Params, name: str, parts: Mapping[str, Any], seed: int, code: str) -> Trained:
    """Train both players, from where an earlier training like this one was broken off, if one was."""
    variant = params.variant(name)
    device = prepare(params, seed)
    train = read_split("train")
    rules = parts["game"]
    others = {role: part for role, part in parts.items() if role != "game"}
    game = rules.build(**others, image_shape=train.image_shape, classes=train.classes)
    images = rules.training_images(torch.from_numpy(train.images)).to(device)
    labels = torch.from_numpy(train.labels)[: len(images)].to(device)
    engine = Engine(game, Batches(images, labels, variant.batch_size), variant)
    about = variant.model_dump(exclude={"known_for", "paper"})
    config: dict[str, Any] = {
        "variant": about | {"images": getattr(variant.images, params.budget)},
        "seed": seed,
        "budget": params.budget,
        "checkpoint": params.curves.checkpoint,
        "device": device.type,
        "threads": params.threads,
        "image_shape": list(train.image_shape),
        "classes": train.classes,
        "parameters": {player: _count(getattr(game, player)) for player in ("generator", "discriminator")},
        "receptive_field": list(game.receptive_field(train.image_shape)),  # of a logit, in pixels
    }
    # the other seeds do not matter to this one
    settings = config | {"variant": config["variant"] | {"seeds": None}, "curves": params.curves.model_dump()}
    key = key_of(settings, code, (train.images, train.labels), device)
    checkpoints = Checkpoints(name, key, params.resume.every_seconds)
    rows, snapshots = resume(engine, checkpoints)
    with Journal(params.tracking, name) as journal:
        if engine.seen < config["variant"]["images"]:
            journal.begin_run(name, config)
            journal.dataset("data/processed/train", len(images))
        else:  # whole: its run is most likely there
            sha256 = hashlib.sha256(weights_to_bytes(engine.average)).hexdigest()
            journal.join_run(name, sha256, config["checkpoint"], otherwise=config)
        rows, snapshots = play(engine, name, config, params, journal, checkpoints, rows, snapshots)
        files = {
            "config.json": json_to_bytes(config),
            "discriminator.safetensors": weights_to_bytes(engine.game.discriminator),
            "generator.safetensors": weights_to_bytes(engine.average),
            "snapshots.safetensors": save(snapshots),
        }
        served = {file: files[file] for file in ("config.json", "generator.safetensors")}
        journal.model(served, config["image_shape"], hashlib.sha256(served["generator.safetensors"]).hexdigest())
    return Trained(files, rows, checkpoints)


def resume(engine: Engine, checkpoints: Checkpoints) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Bring the engine to its latest checkpoint, if there is one; return the rows and snapshots from before."""
    tensors, rows = checkpoints.latest() or ({}, [])
    if tensors:
        engine.load_state_dict(unprefixed("engine", tensors))
    return rows, unprefixed("snapshots", tensors)


def play(
    engine: Engine,
    name: str,
    config: Mapping[str, Any],
    params: Params,
    journal: Journal,
    checkpoints: Checkpoints,
    rows: list[dict[str, float]],
    snapshots: dict[str, torch.Tensor],
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Play the rest of the game; return all rows of the loss curve, and what the snapshots on the way hold, stacked.

    That is `images_seen`, `samples` and, where the best is to be chosen, the generator's weights (`generator.…`).
    """
    total = config["variant"]["images"]
    for row in rows:
        journal.metrics(int(row["images"]), {key: value for key, value in row.items() if key != "images"})
    for seen, samples in zip(snapshots.get("images_seen", []), snapshots.get("samples", []), strict=True):
        journal.images("samples", int(seen), samples[:GRID].numpy())
    if engine.seen:
        print(f"train: {name} (seed {config['seed']}): resumes at {engine.seen:,} of {total:,} images", flush=True)
    progress = Progress(name, total, engine.seen)
    readings = _milestones(total, params.curves.points, engine.seen)
    due = _milestones(total, params.curves.snapshots, engine.seen)
    asked = torch.arange(params.curves.snapshot_images, device=engine.device) % config["classes"]
    for seen in engine.play(total):
        if readings and seen >= readings[0]:
            readings = [milestone for milestone in readings if milestone > seen]
            scalars = engine.read_scalars()
            _raise_if_diverged(name, config["seed"], seen, scalars)
            rows.append({"images": seen, **scalars})
            progress.update(min(seen, total), scalars)
            journal.metrics(seen, scalars)
        if due and seen >= due[0]:
            due = [milestone for milestone in due if milestone > seen]
            images = engine.game.sample(engine.average, asked, engine.batches.images, seed=params.curves.seed)
            snapshot = {"images_seen": torch.tensor(seen), "samples": to_uint8(images).cpu()}
            if params.curves.checkpoint == "best":
                state = engine.average.state_dict()
                snapshot |= prefixed("generator", {key: value.to("cpu", copy=True) for key, value in state.items()})
            journal.images("samples", seen, snapshot["samples"][:GRID].numpy())
            snapshots = {key: _append(snapshots.get(key), value) for key, value in snapshot.items()}
        if checkpoints.is_due() or seen >= total:
            checkpoints.save(seen, prefixed("engine", engine.state_dict()) | prefixed("snapshots", snapshots), rows)
    progress.close()
    return rows, snapshots


def _append(stacked: torch.Tensor | None, value: torch.Tensor) -> torch.Tensor:
    return value[None].contiguous() if stacked is None else torch.cat([stacked, value[None]])


def _milestones(total: int, count: int, seen: int) -> list[int]:
    """Up to `count` evenly spaced numbers of images, the last one `total`: those that are not `seen` yet."""
    milestones = {math.ceil(total * index / count) for index in range(1, count + 1)}
    return sorted(milestone for milestone in milestones if milestone > seen)


def _raise_if_diverged(name: str, seed: int, seen: int, scalars: Mapping[str, float]) -> None:
    broken = {key: value for key, value in scalars.items() if not math.isfinite(value)}
    if broken:
        raise StageError(
            f"{name} (seed {seed}) diverged within {seen} images: {broken}; try a lower learning_rate, a regularizer "
            "or precision: float32"
        )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
