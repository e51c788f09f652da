"""Training images per second: the usual loop, the trainer, and the machine's limit, in one process.

The three take turns, so that a machine that slows down slows all of them; the ratios are medians over the turns.
What the trainer's stage sets for the whole process (threads, memory that is kept) serves the usual loop, too.
The limit is the time that a step's matrix products and convolutions would take at the rate of a large matrix
product: elementwise work, memory and everything else for nothing.
"""

from __future__ import annotations

import argparse
import itertools
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages import train as training_stage
from stages.config.errors import errors_as_lines
from stages.config.params import Params, load
from stages.contracts.gan import GAN
from stages.storage.images import Split, read_split
from stages.training.device import prepare
from stages.training.schedules import instance_noise
from stages.training.trainer import Trainer
from tests.tools.benchmarks.arithmetic import MatrixOperations, gemm_rate
from tests.tools.benchmarks.process import forget_peak, peak, run_apart
from tests.tools.benchmarks.usual_loop import UsualLoop

RESULTS = Path(__file__).parent / "results"
CYCLE = 8  # steps, after which every lazy penalty here has had its due share


@dataclass(frozen=True)
class Row:
    """What was measured of one variant; rates in images a second, times in seconds, memory in MiB."""

    variant: str
    precision: str
    usual: float
    trainer: float
    limit: float
    trainer_to_usual: float
    trainer_to_limit: float
    quick: float
    full: float
    memory: float  # of trainer and GAN (a translator's outlines too), at its highest, beyond libraries and images


def build(params: Params, name: str, train: Split) -> tuple[GAN, torch.Tensor, torch.Tensor]:
    """A variant's GAN, freshly initialised, and the uint8 images and labels that it trains on."""
    device = prepare(params, 0)
    components = params.variant(name).components()
    options = components.pop("gan")
    gan = options.build(**components, image_shape=train.image_shape, classes=len(train.classes)).to(device)
    gan.reuse_fakes = params.training.reuse_fakes
    images = options.training_images(torch.from_numpy(train.images))
    return gan, images, torch.from_numpy(train.labels)[: len(images)]


def build_trainer(params: Params, name: str, train: Split, seed: int = 0) -> Trainer:
    """The trainer of a new training, as the stage builds it."""
    return training_stage.build_trainer(params, params.variant(name), train, prepare(params, seed))


def usual_steps(params: Params, name: str, train: Split) -> Iterator[None]:
    """The usual loop's steps, at all moments of a training in turn."""
    gan, images, labels = build(params, name, train)
    loop = UsualLoop(gan, images.numpy(), labels.numpy(), params.variant(name))
    for progress in moments():
        gan.noise_std = instance_noise(progress, params.training.noise_std, params.training.noise_until)
        gan.on_step_start(progress)
        loop.step()
        yield


def trainer_steps(params: Params, name: str, train: Split) -> Iterator[None]:
    """The trainer's steps, its scalars read as often as a training does."""
    trainer = build_trainer(params, name, train)
    variant = params.variant(name)
    steps_a_reading = max(1, variant.images.quick // variant.batch_size // params.training.log_steps)
    for index, progress in enumerate(moments()):
        trainer.follow_schedules(progress)
        trainer.step()
        if index % steps_a_reading == 0:
            trainer.read_scalars()
        yield


def moments() -> Iterator[float]:
    """Shares of a training, spread evenly over it however many are taken: growth has its due part of the time."""
    golden = (5**0.5 - 1) / 2
    return ((index * golden) % 1 for index in itertools.count())


def rate(steps: Iterator[None], batch_size: int, seconds: float) -> float:
    """Images a second, over about that time."""
    start = time.perf_counter()
    for taken in itertools.count(1):
        next(steps)
        if (passed := time.perf_counter() - start) >= seconds and taken % CYCLE == 0:
            return taken * batch_size / passed
    raise AssertionError


def measure(params: Params, name: str, train: Split, turns: int, seconds: float) -> Row:
    """Take turns, and compare."""
    variant = params.variant(name)
    dtype = torch.bfloat16 if params.training.precision == "bfloat16" else torch.float32
    trainer = trainer_steps(params, name, train)
    _warm_up(trainer)
    with MatrixOperations() as operations:
        for _ in range(4 * CYCLE):
            next(trainer)
    operations_an_image = operations.count / (4 * CYCLE) / variant.batch_size
    usual = usual_steps(params, name, train)
    _warm_up(usual)
    rates = []
    loops = {"usual": usual, "trainer": trainer}
    for _ in range(turns):
        limit_before = gemm_rate(dtype)
        found = {loop: rate(steps, variant.batch_size, seconds) for loop, steps in loops.items()}
        limit = (limit_before + gemm_rate(dtype)) / 2 / operations_an_image
        rates.append((found["usual"], found["trainer"], limit))
        loops = dict(reversed(loops.items()))  # a machine that slows down should slow both as often
    a, b, c = (statistics.median(column) for column in zip(*rates, strict=True))
    return Row(
        variant=name,
        precision=params.training.precision,
        usual=a,
        trainer=b,
        limit=c,
        trainer_to_usual=statistics.median(b / a for a, b, _ in rates),
        trainer_to_limit=statistics.median(b / c for _, b, c in rates),
        quick=variant.images.quick / b,
        full=variant.images.full / b,
        memory=measure_memory(name),
    )


def measure_memory(name: str) -> float:
    """MiB, in a new process: a warm one would reuse what earlier variants left."""
    return float(run_apart("tests.tools.benchmarks.training", "--memory", name))


def _warm_up(steps: Iterator[None]) -> None:
    for _ in range(3 * CYCLE):
        next(steps)


COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "variant": ("variant", str),
    "precision": ("precision", str),
    "usual": ("usual loop (a)", "{:,.0f}".format),
    "trainer": ("trainer (b)", "{:,.0f}".format),
    "limit": ("limit (c)", "{:,.0f}".format),
    "trainer_to_usual": ("b/a", "{:.2f}".format),
    "trainer_to_limit": ("b/c", "{:.2f}".format),
    "quick": ("quick, s", "{:,.0f}".format),
    "full": ("full, s", "{:,.0f}".format),
    "memory": ("memory, MiB", "{:,.0f}".format),
}


def to_markdown(rows: list[Row], device: str) -> str:
    """The table, with what it was measured on."""
    lines = [
        f"Images a second of training, on {device}.",
        "",
        "| " + " | ".join(title for title, _ in COLUMNS.values()) + " |",
        "|---|---|" + "--:|" * (len(COLUMNS) - 2),
    ]
    for row in rows:
        cells = asdict(row)
        lines.append("| " + " | ".join(show(cells[key]) for key, (_, show) in COLUMNS.items()) + " |")
    return "\n".join(lines) + "\n"


def describe(params: Params) -> str:
    """The processor, as a reader of the table needs it."""
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    instructions = torch.backends.cpu.get_cpu_capability()
    threads = "1 thread" if params.threads == 1 else f"{params.threads} threads"
    return f"{threads} of {[*names, 'a processor'][0]} ({instructions}), torch {torch.__version__}"


def read_inputs() -> tuple[Params, Split]:
    """Parameters for the CPU, whatever else there is, and training images in memory: mapped, they would count, too."""
    train = read_split("train")
    return load().model_copy(update={"device": "cpu"}), train._replace(images=np.array(train.images))


def main() -> None:
    """Measure the variants that were asked for; print the table and, if all were, save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="default: all, a quarter of an hour")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--memory", metavar="VARIANT", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    params, train = read_inputs()
    if asked.memory:
        before = forget_peak()
        _warm_up(trainer_steps(params, asked.memory, train))
        print(peak() - before)
        return
    rows = []
    for name in asked.variants or params.variants:
        rows.append(measure(params, name, train, asked.turns, asked.seconds))
        print(f"{name}: b/a {rows[-1].trainer_to_usual:.2f}, b/c {rows[-1].trainer_to_limit:.2f}", flush=True)
    table = to_markdown(rows, describe(params))
    print("\n" + table)
    if not asked.variants:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "training.md").write_text(table)


if __name__ == "__main__":
    with errors_as_lines():
        main()
