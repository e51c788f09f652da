"""The benchmark compares like with like: the same training, and operations counted right."""

from __future__ import annotations

import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stages.config.params import load
from stages.storage.images import Split
from stages.storage.pixels import to_float
from stages.training.batches import Batches
from tests.conftest import ROOT
from tests.tools.benchmarks.arithmetic import MatrixOperations
from tests.tools.benchmarks.stages import WORK, find
from tests.tools.benchmarks.training import Row, build, build_trainer, moments, to_markdown
from tests.tools.benchmarks.usual_loop import PictureSet, UsualLoop

PARAMS = load().model_copy(update={"device": "cpu"})


def split(count: int) -> Split:
    random = np.random.default_rng(0)
    return Split(random.integers(0, 256, (count, 1, 28, 28), np.uint8), np.arange(count) % 10, tuple("0123456789"))


class Same(Batches):
    """The batches of an epoch in order."""

    def next(self) -> tuple[Tensor, Tensor]:
        """See above; every step has random numbers of its own."""
        chosen = slice(self.cursor, self.cursor + self.batch_size)
        self.cursor += self.batch_size
        torch.manual_seed(self.cursor)
        return to_float(self.images[chosen]), self.labels[chosen]


def to_vector(network: nn.Module) -> Tensor:
    """All weights in a row."""
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


@pytest.mark.parametrize("name", ["mlp", "dcgan", "wgan_gp", "cyclegan"])
def test_the_usual_loop_and_the_trainer_train_the_same_gan(name: str) -> None:
    train = split(128)
    variant = PARAMS.variant(name).model_copy(update={"batch_size": 8})
    training = PARAMS.training.model_copy(update={"ema_rampup": None})
    params = PARAMS.model_copy(update={"variants": {name: variant}, "training": training})
    trainer = build_trainer(params, name, train)
    gan, images, labels = build(params, name, train)
    trainer.batches = Same(images, labels, 8)
    usual = UsualLoop(gan, images.numpy(), labels.numpy(), variant)

    def in_order() -> Iterator[tuple[Tensor, Tensor]]:
        pictures = PictureSet(images.numpy(), labels.numpy())
        for start in range(0, len(pictures), 8):
            examples = [pictures[index] for index in range(start, start + 8)]
            torch.manual_seed(start + 8)
            yield torch.stack([image for image, _ in examples]), torch.tensor([label for _, label in examples])

    usual.batches = in_order()  # type: ignore[assignment]
    start = to_vector(trainer.ema.module)
    for _ in range(2):
        trainer.step()
        usual.step()
    assert len(usual.discriminator_losses) == len(usual.generator_losses) == 2
    ours, theirs = to_vector(trainer.ema.module), to_vector(usual.ema)
    # Adam turns rounding into steps where a gradient is next to nothing
    assert (ours - theirs).norm() < 0.1 * (ours - start).norm()


def test_the_usual_loop_translates_each_batch_by_itself() -> None:
    train = split(32)
    gan, images, labels = build(PARAMS, "cyclegan", train)
    usual = UsualLoop(gan, images.numpy(), labels.numpy(), PARAMS.variant("cyclegan"))
    passes = []
    for loop in (usual, build_trainer(PARAMS, "cyclegan", train)):
        counted = count_calls(loop.gan.generator.to_digits)  # type: ignore[arg-type]
        loop.step()
        passes.append(len(counted))
    assert passes == [3, 2]  # of outlines, and back; the usual loop's third is the identity's


def count_calls(module: nn.Module) -> list[None]:
    """A list that grows by one at each call of a module."""
    calls: list[None] = []
    module.register_forward_hook(lambda *_: calls.append(None))
    return calls


def test_operations_are_those_of_the_formulas() -> None:
    layer, images = nn.Linear(5, 7), torch.randn(3, 5)
    with MatrixOperations() as operations:
        loss = layer(images).sum()
        assert operations.count == 2 * 3 * 5 * 7
        loss.backward()
    assert operations.count == 2 * 2 * 3 * 5 * 7  # the weight's gradient; the images need none
    convolution, images = nn.Conv2d(2, 3, 4, stride=2, padding=1), torch.randn(5, 2, 8, 8, requires_grad=True)
    forward = 2 * 5 * 3 * 4 * 4 * 2 * 4 * 4
    with MatrixOperations() as operations:
        logits = convolution(images)
        assert operations.count == forward
        (gradient,) = torch.autograd.grad(logits.square().sum(), images, create_graph=True)
        assert operations.count == 2 * forward
        gradient.square().sum().backward()  # torch's own counter fails here
    assert operations.count > 4 * forward


def test_moments_are_spread_evenly() -> None:
    taken = [progress for progress, _ in zip(moments(), range(1000), strict=False)]
    counts, _ = np.histogram(taken, bins=10, range=(0, 1))
    assert counts.min() >= 99
    assert counts.max() <= 101


def test_the_table_has_a_row_for_each_variant() -> None:
    row = Row("dcgan", "float32", 10.0, 20.0, 40.0, 2.0, 0.5, 3.0, 4.0, 5.0)
    lines = to_markdown([row, row], "a machine").splitlines()
    assert lines[-1] == "| dcgan | float32 | 10 | 20 | 40 | 2.00 | 0.50 | 3 | 4 | 5 |"
    assert len({line.count("|") for line in lines[2:]}) == 1


@pytest.mark.parametrize("path", [path for paths in WORK.values() for path in paths])
def test_the_work_of_a_stage_is_a_function_that_exists(path: str) -> None:
    owner, name = find(path)
    assert callable(getattr(owner, name))


@pytest.mark.parametrize("tool", ["benchmarks.training", "benchmarks.time_to_fid", "benchmarks.gpu", "check_gpu"])
@pytest.mark.filterwarnings("ignore:.* found in sys.modules:RuntimeWarning")
def test_before_a_build_a_line_says_what_is_missing(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [tool])
    with pytest.raises(SystemExit, match=r"^1$"):
        runpy.run_module(f"tests.tools.{tool}", run_name="__main__")
    said = capsys.readouterr().err
    assert said == "error: data/processed/train/classes.json: is missing: run `dvc repro preprocess`\n"
