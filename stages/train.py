"""Train one variant: data/processed/train -> models/<variant>, metrics/<variant>/losses.csv."""

from __future__ import annotations

import contextlib
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
from stages.settings.params import Curves, Params
from stages.support.device import environment, prepare
from stages.support.files import METRICS, MODELS, json_to_bytes, seed_folder, write_bytes, write_csv
from stages.support.images import read_split, to_uint8
from stages.support.weights import prefixed, unprefixed, weights_to_bytes
from stages.tracking.journal import Journal
from stages.tracking.progress import Progress

GRID = 64  # images in a grid of samples


class DivergedError(StageError):
    """A loss or a weight is NaN or infinite; `rows` are those of the loss curve before."""

    def __init__(self, message: str, rows: list[dict[str, float]]) -> None:
        super().__init__(message)
        self.rows = rows


class Trained(NamedTuple):
    """What the training of one seed gives: files by name, rows of the loss curve, and where it could have resumed."""

    files: dict[str, bytes]
    rows: list[dict[str, float]]
    checkpoints: Checkpoints


def main(params: Params, name: str) -> None:
    """Train under the budget, once for each seed; nothing but the curves of a divergence is written before all are."""
    variant = params.variant(name)
    parts = build_parts(name, variant)
    folders = [CODE / folder for folder in ("adversarial", "support")]
    shared = [Path(__file__), *(file for folder in folders for file in sorted(folder.glob("*.py")))]
    code = hash_files([*shared, *part_files(variant)])
    trained: dict[int, Trained] = {}
    for seed in variant.seeds:
        try:
            trained[seed] = train_seed(params, name, parts, seed, code)
        except DivergedError as error:
            with contextlib.suppress(OSError):  # a full disk must not hide what happened
                write_curves(name, {seed: of_seed.rows for seed, of_seed in trained.items()} | {seed: error.rows})
            raise
    for seed, of_seed in trained.items():
        for file, content in of_seed.files.items():
            write_bytes(seed_folder(MODELS / name, variant.seeds, seed) / file, content)
    write_curves(name, {seed: of_seed.rows for seed, of_seed in trained.items()})
    for of_seed in trained.values():
        of_seed.checkpoints.remove()


def write_curves(name: str, rows_of_seeds: Mapping[int, list[dict[str, float]]]) -> None:
    """Write the loss curves of all seeds: metrics/<variant>/losses.csv."""
    rows = [{"seed": seed, **row} for seed, rows in rows_of_seeds.items() for row in rows]
    scalars = {key for row in rows for key in row} - {"seed", "images"}
    write_csv(METRICS / name / "losses.csv", ["seed", "images", *sorted(scalars)], rows)


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
    about_machine = environment(device)
    key = key_of(settings, code, (train.images, train.labels), about_machine)
    checkpoints = Checkpoints(name, key, params.resume.every_seconds)
    recorded = config | {"environment": about_machine}
    with Journal(params.tracking, name) as journal:
        training = Training(engine, name, config, params.curves, journal, checkpoints)
        training.resume()
        if engine.seen < training.total:
            journal.begin_run(name, recorded)
            journal.dataset("data/processed/train", len(images))
        else:  # whole: its run is most likely there
            sha256 = hashlib.sha256(weights_to_bytes(engine.average)).hexdigest()
            journal.join_run(name, sha256, config["checkpoint"], otherwise=recorded)
        training.play()
        files = {
            "config.json": json_to_bytes(config),
            "discriminator.safetensors": weights_to_bytes(engine.game.discriminator),
            "generator.safetensors": weights_to_bytes(engine.average),
            "snapshots.safetensors": save(training.snapshots),
        }
        served = {file: files[file] for file in ("config.json", "generator.safetensors")}
        journal.model(served, config["image_shape"], hashlib.sha256(served["generator.safetensors"]).hexdigest())
    return Trained(files, training.rows, checkpoints)


class Training:
    """A game under way, watched: its loss curve, its snapshots, its checkpoints."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        config: Mapping[str, Any],
        curves: Curves,
        journal: Journal,
        checkpoints: Checkpoints,
    ) -> None:
        self.engine = engine
        self.name = name
        self.config = config
        self.curves = curves
        self.journal = journal
        self.checkpoints = checkpoints
        self.total: int = config["variant"]["images"]
        self.rows: list[dict[str, float]] = []  # of the loss curve
        # stacked: `images_seen`, `samples` and, where the best is to be chosen, the generator's weights (`generator.…`)
        self.snapshots: dict[str, torch.Tensor] = {}

    def resume(self) -> None:
        """Go on from the latest checkpoint, if there is one."""
        tensors, rows = self.checkpoints.latest() or ({}, [])
        if tensors:
            self.engine.load_state_dict(unprefixed("engine", tensors))
            self.rows, self.snapshots = rows, unprefixed("snapshots", tensors)
            seed = self.config["seed"]
            print(
                f"train: {self.name} (seed {seed}): resumes at {self.engine.seen:,} of {self.total:,} images",
                flush=True,
            )

    def play(self) -> None:
        """Play the rest of the game; raises DivergedError at the first reading or checkpoint after a number broke."""
        for row in self.rows:  # from before: the run that was broken off keeps its own
            self._log(row)
        for seen, samples in zip(self.snapshots.get("images_seen", []), self.snapshots.get("samples", []), strict=True):
            self.journal.images("samples", int(seen), samples[:GRID].numpy())
        engine = self.engine
        progress = Progress(self.name, self.total, engine.seen)
        readings = _milestones(self.total, self.curves.points, engine.seen)
        due = _milestones(self.total, self.curves.snapshots, engine.seen)
        for seen in engine.play(self.total):
            if readings and seen >= readings[0]:
                readings = [milestone for milestone in readings if milestone > seen]
                self._raise_if_diverged()
                scalars = engine.read_scalars()
                self.rows.append({"images": seen, **scalars})
                self._log(self.rows[-1])
                progress.update(min(seen, self.total), scalars)
            if due and seen >= due[0]:
                due = [milestone for milestone in due if milestone > seen]
                self._take_snapshot()
            if self.checkpoints.is_due() or seen >= self.total:
                self._raise_if_diverged()
                self.checkpoints.save(seen, self._state(), self.rows)
        progress.close()

    def _log(self, row: Mapping[str, float]) -> None:
        self.journal.metrics(int(row["images"]), {key: value for key, value in row.items() if key != "images"})

    def _take_snapshot(self) -> None:
        engine, curves = self.engine, self.curves
        asked = torch.arange(curves.snapshot_images, device=engine.device) % self.config["classes"]
        images = engine.game.sample(engine.average, asked, engine.batches.images, seed=curves.seed)
        snapshot = {"images_seen": torch.tensor(engine.seen), "samples": to_uint8(images).cpu()}
        if curves.checkpoint == "best":
            state = engine.average.state_dict()
            snapshot |= prefixed("generator", {key: value.to("cpu", copy=True) for key, value in state.items()})
        self.journal.images("samples", engine.seen, snapshot["samples"][:GRID].numpy())
        self.snapshots = {key: _append(self.snapshots.get(key), value) for key, value in snapshot.items()}

    def _state(self) -> dict[str, torch.Tensor]:
        return prefixed("engine", self.engine.state_dict()) | prefixed("snapshots", self.snapshots)

    def _raise_if_diverged(self) -> None:
        if broken := self.engine.find_broken():
            seen = self.engine.seen
            raise DivergedError(
                f"{self.name} (seed {self.config['seed']}) diverged by step {seen // self.engine.batches.batch_size} "
                f"({seen:,} images): NaN or infinite: {', '.join(broken)}; try a lower learning_rate, a regularizer or "
                f"precision: float32; the curves until then: {METRICS / self.name / 'losses.csv'}",
                self.rows,
            )


def _append(stacked: torch.Tensor | None, value: torch.Tensor) -> torch.Tensor:
    return value[None].contiguous() if stacked is None else torch.cat([stacked, value[None]])


def _milestones(total: int, count: int, seen: int) -> list[int]:
    """Up to `count` evenly spaced numbers of images, the last one `total`: those that are not `seen` yet."""
    milestones = {math.ceil(total * index / count) for index in range(1, count + 1)}
    return sorted(milestone for milestone in milestones if milestone > seen)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


if __name__ == "__main__":
    run_stage(main, __doc__, "variant")
