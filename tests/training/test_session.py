"""One training, watched: when it is measured, what is kept of it, and where it goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.storage.weights import unprefixed
from stages.training import session
from stages.training.checkpoints import Checkpoints
from stages.training.session import DivergedError, Plan, Session
from stages.training.trainer import Trainer
from tests.builders import PARAMS, build_gan, build_trainer

SHAPE = (1, 12, 12)
CLASSES = 3


class Notes:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, Mapping[str, Any]]] = []
        self.shown: list[tuple[int, np.ndarray]] = []

    def metrics(self, step: int, values: Mapping[str, Any]) -> None:
        self.told.append((step, values))

    def images(self, name: str, step: int, images: np.ndarray) -> None:
        assert name == "samples"
        self.shown.append((step, images.copy()))
        images[:] = 7  # an observer cannot change a result


@pytest.fixture(autouse=True)
def always_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: True)


def build(checkpoint: str = "last", log_steps: int = 3) -> tuple[Session, Notes]:
    """A training of 40 images in batches of 8, with two snapshots of five images."""
    changes = {"log_steps": log_steps, "snapshots": 2, "snapshot_images": 5, "checkpoint": checkpoint}
    plan = Plan("x", 0, 40, PARAMS.training.model_copy(update=changes))
    trainer = build_trainer("cgan", build_gan("cgan", SHAPE, CLASSES), SHAPE, batch_size=8)
    trainer.batches.labels %= CLASSES
    notes = Notes()
    return Session(trainer, plan, [notes], Checkpoints("x", "key", 0)), notes


def run(training: Session) -> list[tuple[int, Mapping[str, float]]]:
    """Train to the end; what the bar of progress was told."""
    shown: list[tuple[int, Mapping[str, float]]] = []
    training.run(lambda seen, scalars: shown.append((seen, scalars)))
    return shown


def test_readings_and_snapshots_are_evenly_spaced_and_the_last_is_at_the_end() -> None:
    training, notes = build()
    shown = run(training)
    assert [row["images"] for row in training.rows] == [16, 32, 40]  # first step at or past each third of 40
    assert [step for step, _ in notes.told] == [seen for seen, _ in shown] == [16, 32, 40]
    for row, (_, told), (_, seen) in zip(training.rows, notes.told, shown, strict=True):
        assert {name: value for name, value in row.items() if name != "images"} == told == seen
    assert training.snapshots.keys() == {"images_seen", "samples"}  # weights only where one is to be chosen
    assert training.snapshots["images_seen"].tolist() == [step for step, _ in notes.shown] == [24, 40]
    assert all(np.array_equal(a, b) for a, (_, b) in zip(training.snapshots["samples"], notes.shown, strict=True))


def test_more_readings_than_steps_are_one_a_step() -> None:
    training, _ = build(log_steps=100)
    run(training)
    assert [row["images"] for row in training.rows] == [8, 16, 24, 32, 40]


class Killed(BaseException):
    """In the place of what ends a process."""


def test_a_training_that_was_killed_goes_on_and_tells_its_observer_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, all_notes = build("best")
    run(whole)
    whole.checkpoints.remove()
    step = Trainer.step

    def killed(trainer: Trainer) -> None:
        step(trainer)
        if trainer.images_seen == 32:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", killed)
        with pytest.raises(Killed):
            run(build("best")[0])
    again, notes = build("best")
    assert capsys.readouterr().out == ""
    again.resume()
    assert capsys.readouterr().out == "train: x (seed 0): resumes at 24 of 40 images\n"
    assert [seen for seen, _ in run(again)] == [32, 40]
    assert again.rows == whole.rows
    expected = whole.trainer.gan.state_dict() | whole.snapshots
    found = again.trainer.gan.state_dict() | again.snapshots
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert notes.told == all_notes.told
    assert [step for step, _ in notes.shown] == [24, 40]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(notes.shown, all_notes.shown, strict=True))
    # a snapshot is what the average drew then, of each class
    generator = build_gan("cgan", SHAPE, CLASSES).generator
    for index, samples in enumerate(again.snapshots["samples"]):
        weights = unprefixed("generator", again.snapshots)
        generator.load_state_dict({name: stacked[index] for name, stacked in weights.items()})
        images = generator.sample(torch.tensor([0, 1, 2, 0, 1]), seed=PARAMS.training.snapshot_seed)
        assert torch.equal(samples.float(), ((images + 1) * 127.5).round())


def test_a_training_that_was_whole_takes_no_step() -> None:
    run(build()[0])
    again, _ = build()
    again.resume()
    assert run(again) == []
    assert again.trainer.images_seen == 40
    assert len(again.rows) == 3


def test_without_a_checkpoint_nothing_is_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    training, _ = build()
    training.resume()
    assert training.trainer.images_seen == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("is_due", [True, False])  # what is told depends on no clock
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_broken_weight_ends_it_before_anything_of_it_is_kept(
    network: str, is_due: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def broken(trainer: Trainer) -> None:
        step(trainer)
        if trainer.images_seen == break_at:
            next(getattr(trainer.gan, network).parameters()).data.view(-1)[0] = math.inf

    monkeypatch.setattr(Trainer, "step", broken)
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: is_due)
    # who looks next is a snapshot, at 24 images, or the loss curve, at 40
    for log_steps, break_at, seen, rows, pictures in ((3, 24, 24, [16], []), (1, 32, 40, [], [24])):
        training, notes = build(log_steps=log_steps)
        training.checkpoints.remove()
        says = rf"x \(seed 0\) diverged by step {seen // 8} \({seen} images\): .*{network}'s weights.*; try a lower"
        with pytest.raises(DivergedError, match=says):
            run(training)
        assert [row["images"] for row in training.rows] == rows
        assert [step for step, _ in notes.shown] == pictures
        found = training.checkpoints.latest()
        assert (found and int(found[0]["trainer.images_seen"])) == (break_at - 8 if is_due else None)


def test_steps_that_were_seen_are_left_out() -> None:
    assert session._spread(100, 4, 0) == [25, 50, 75, 100]
    assert session._spread(100, 3, 34) == [67, 100]
    assert session._spread(2, 5, 0) == [1, 2]
