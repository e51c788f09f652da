"""One training, watched: its loss curve, its snapshots, its checkpoints."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from stages.config.errors import StageError
from stages.config.params import Training
from stages.contracts.generator import labels_like
from stages.storage.images import GRID
from stages.storage.paths import LOSSES, VARIANTS
from stages.storage.pixels import to_uint8
from stages.storage.weights import prefixed, unprefixed
from stages.training import processes
from stages.training.checkpoints import Checkpoints
from stages.training.trainer import Trainer
from stages.training.trainer_state import load_trainer, trainer_to_tensors


class DivergedError(StageError):
    """A loss or a weight is NaN or infinite."""


class Observer(Protocol):
    """Follows a training, and cannot change it: the event log, and the files that show it live."""

    def metrics(self, step: int, values: Mapping[str, Any]) -> None:
        """Numbers after so many images."""

    def images(self, name: str, step: int, images: np.ndarray) -> None:
        """uint8 samples (count, channels, height, width) after so many images."""


@dataclass(frozen=True)
class Plan:
    """What a session does besides training."""

    name: str  # of the variant
    seed: int
    images: int  # to train on
    options: Training


class Session:
    """A training under way; `rows` and `snapshots` are what it has given so far."""

    def __init__(self, trainer: Trainer, plan: Plan, observers: Sequence[Observer], checkpoints: Checkpoints) -> None:
        self.trainer = trainer
        self.plan = plan
        self.observers = observers
        self.checkpoints = checkpoints
        self.rows: list[dict[str, float]] = []  # of the loss curve
        # stacked: `images_seen`, `samples` and, where the best is to be chosen, the generator's weights (`generator.…`)
        self.snapshots: dict[str, Tensor] = {}

    def resume(self) -> None:
        """Continue from the latest checkpoint, if there is one."""
        found = processes.broadcast_object(self.checkpoints.latest() if processes.is_first() else None)
        if found:
            tensors, rows = found
            self._raise_if_of_other_processes(int(tensors["processes"]))
            load_trainer(self.trainer, unprefixed("trainer", tensors))
            self.rows, self.snapshots = rows, unprefixed("snapshots", tensors)
            name, seen = f"{self.plan.name} (seed {self.plan.seed})", self.trainer.images_seen
            if processes.is_first():
                print(f"train: {name}: resumes at {seen:,} of {self.plan.images:,} images", flush=True)

    def run(self, show_progress: Callable[[int, Mapping[str, float]], None]) -> None:
        """Train to the end; raises DivergedError at the first log step or snapshot after a number broke."""
        self._repeat_for_observers()
        total, trainer = self.plan.images, self.trainer
        log_steps = _spread(total, self.plan.options.log_steps, trainer.images_seen)
        snapshot_steps = _spread(total, self.plan.options.snapshots, trainer.images_seen)
        for seen in trainer.train(total):
            if log_steps and seen >= log_steps[0]:
                log_steps = [step for step in log_steps if step > seen]
                self._raise_if_diverged()
                scalars = trainer.read_scalars()
                self.rows.append({"images": seen, **scalars})
                self._tell_metrics(seen, scalars)
                show_progress(seen, scalars)
            if snapshot_steps and seen >= snapshot_steps[0]:
                snapshot_steps = [step for step in snapshot_steps if step > seen]
                self._raise_if_diverged()
                self._take_snapshot()
            if processes.is_first() and (self.checkpoints.is_due() or seen >= total):
                self._save_checkpoint()

    def _save_checkpoint(self) -> None:
        if self.trainer.find_broken():
            return  # raised at the next log step or snapshot: when a checkpoint is due, the clock says
        state = prefixed("trainer", trainer_to_tensors(self.trainer)) | prefixed("snapshots", self.snapshots)
        state["processes"] = torch.tensor(processes.world_size())
        self.checkpoints.save(self.trainer.images_seen, state, self.rows)

    def _raise_if_of_other_processes(self, count: int) -> None:
        if count != processes.world_size():
            raise StageError(
                f"{self.plan.name} was begun with {count} processes: set training.processes to that, or remove "
                f"{self.checkpoints.folder}"
            )

    def _repeat_for_observers(self) -> None:
        """Tell what was before a resume: the run that was broken off keeps its own."""
        for row in self.rows:
            self._tell_metrics(int(row["images"]), {key: value for key, value in row.items() if key != "images"})
        for seen, samples in zip(self.snapshots.get("images_seen", []), self.snapshots.get("samples", []), strict=True):
            self._tell_images(int(seen), samples)

    def _tell_metrics(self, seen: int, scalars: Mapping[str, float]) -> None:
        for observer in self.observers:
            observer.metrics(seen, scalars)

    def _tell_images(self, seen: int, samples: Tensor) -> None:
        for observer in self.observers:  # a copy each: nothing they do with it reaches the snapshot
            observer.images("samples", seen, samples[:GRID].numpy().copy())

    def _take_snapshot(self) -> None:
        trainer, options = self.trainer, self.plan.options
        count = min(options.snapshot_images, len(trainer.batches.images))
        average = trainer.ema.module
        labels = labels_like(average, trainer.batches.labels, count)
        images = trainer.gan.sample(average, labels, trainer.batches.images, seed=options.snapshot_seed)
        snapshot = {"images_seen": torch.tensor(trainer.images_seen), "samples": to_uint8(images).cpu()}
        if options.checkpoint == "best":
            state = average.state_dict()
            snapshot |= prefixed("generator", {key: value.to("cpu", copy=True) for key, value in state.items()})
        self._tell_images(trainer.images_seen, snapshot["samples"])
        self.snapshots = {key: _append(self.snapshots.get(key), value) for key, value in snapshot.items()}

    def _raise_if_diverged(self) -> None:
        if broken := self.trainer.find_broken():
            seen, name = self.trainer.images_seen, self.plan.name
            raise DivergedError(
                f"{name} (seed {self.plan.seed}) diverged by step {seen // self.trainer.batches.batch_size} "
                f"({seen:,} images): NaN or infinite: {', '.join(broken)}; try a lower learning_rate, a regularizer or "
                f"precision: float32; the curves until then: {VARIANTS / name / LOSSES}"
            )


def _append(stacked: Tensor | None, value: Tensor) -> Tensor:
    return value[None].contiguous() if stacked is None else torch.cat([stacked, value[None]])


def _spread(total: int, count: int, seen: int) -> list[int]:
    """Up to `count` evenly spaced numbers of images, the last one `total`: those that are not `seen` yet."""
    steps = {math.ceil(total * index / count) for index in range(1, count + 1)}
    return sorted(step for step in steps if step > seen)
