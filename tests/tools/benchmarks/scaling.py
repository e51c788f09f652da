"""How one training scales: measured with one and two processes, and simulated for many GPUs.

    python -m tests.tools.benchmarks.scaling

The simulation is a step of arithmetic on each process's share of the batch, then exchanges one after another. It is
fitted to one process and to exchanges alone, and checked against the measured step of two. For GPUs the arithmetic
comes from counted operations and the constants below.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from stages.config.params import load
from stages.training import processes
from stages.training.device import prepare
from stages.training.trainer import Trainer
from tests.builders import PARAMS, build_gan, build_trainer
from tests.conftest import ROOT, run

RESULTS = Path(__file__).parent / "results" / "scaling.md"
VARIANTS = ("mlp", "dcgan")
TIMES = (0.5, 1, 8)  # half of a variant's own batch, the whole, and a larger one
ROUNDS = 3
SECONDS = 2.0  # of a measurement
SIZES = tuple(4**power for power in range(5, 12))  # numbers of an exchange
GPUS = (1, 8, 64, 1000)


class Card(NamedTuple):
    """What is assumed of one H100 and its network, which were not measured: public figures of the makers."""

    flops: float = 20e12  # a second in float32 that small layers reach, a third of the peak
    launch: float = 5e-6  # seconds that an operator takes at least
    latency: float = 8e-6  # seconds of one hop of an exchange
    within: float = 300e9  # bytes a second between the eight cards of a machine
    between: float = 40e9  # and between machines


class Step(NamedTuple):
    """A training step: what it computes for so many images, and what it exchanges."""

    flops: float
    operators: int
    exchanges: int
    bytes: int


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=3, metavar=("VARIANT", "BATCH", "THREADS"), help="measure here, print JSON")
    parser.add_argument("--free", action="store_true", help="exchanges that cost nothing, and give nothing")
    options = parser.parse_args()
    if asked := options.measure:
        free: dict[str, Any] = {"_all_reduce": lambda tensor: tensor, "_all_reduce_parts": torch.cat}
        with mock.patch.multiple(processes, **free) if options.free else nullcontext():
            measure(asked[0], int(asked[1]), int(asked[2]))
        return
    lines = ["# How one training scales", "", *measured(), "", *simulated()]
    RESULTS.write_text("\n".join(lines) + "\n")
    print(RESULTS.read_text())


def measure(name: str, batch_size: int, threads: int) -> None:
    """Seconds of a step in as many processes as torchrun started, of its exchanges by size, and how many there are."""
    device = prepare(PARAMS.model_copy(update={"device": "cpu", "threads": threads}), 0)
    processes.join(device)
    trainer = build_trainer(name, batch_size=batch_size, images=4096)
    trainer.follow_schedules(0.5)
    take_steps(trainer, processes.WATCHED // 2)  # warms up, and sees the losses that are watched
    steps = processes.broadcast_object(math.ceil(SECONDS / take_steps(trainer, 20)))
    found: dict[str, Any] = {"step": take_steps(trainer, steps)}
    found["by_size"] = {size: seconds_of_exchange(size) for size in SIZES} if processes.world_size() > 1 else {}
    if processes.is_first():
        print(json.dumps(found))
    processes.leave()


def take_steps(trainer: Trainer, steps: int) -> float:
    """Seconds of a step, in the mean."""
    began = time.perf_counter()
    for _ in range(steps):
        trainer.step()
    return (time.perf_counter() - began) / steps


def seconds_of_exchange(numbers: int) -> float:
    """The median of one exchange of so many floats."""
    tensor, taken = torch.zeros(numbers), []
    for _ in range(50):
        began = time.perf_counter()
        processes._all_reduce_parts([tensor])
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def worker(name: str, batch_size: int, *, count: int = 1, threads: int = 1, free: bool = False) -> dict[str, Any]:
    """`measure` in so many new processes."""
    start = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}") if count > 1 else ()
    arguments = ["-m", "tests.tools.benchmarks.scaling", "--measure", name, str(batch_size), str(threads)]
    arguments += ["--free"] * free
    printed = run("python", *start, *arguments, cwd=ROOT).stdout
    return dict(json.loads(printed.strip().splitlines()[-1]))


def measured() -> list[str]:
    """A table of one process with one and two threads, of two processes, and of what the simulation says of two."""
    lines = [
        "Milliseconds of a step on two cores: medians (and ranges) of rounds that take turns.",
        "",
        "| variant, images a step | 1 thread | 2 threads | 2 processes | images/s of 2 processes over 2 threads | "
        "if exchanges cost nothing | exchanges a step | simulated 2 processes |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    variants = load(ROOT / "params.yaml").variants
    for name, size in [(name, round(variants[name].batch_size * times)) for name in VARIANTS for times in TIMES]:
        rounds = [
            (
                worker(name, size),
                worker(name, size, threads=2),
                worker(name, size, count=2),
                worker(name, size // 2),
                worker(name, size, count=2, free=True),
            )
            for _ in range(ROUNDS)
        ]
        one, threads, two, half, free = ([found["step"] for found in column] for column in zip(*rounds, strict=True))
        ratio, most = (
            statistics.median(of_threads / other for of_threads, other in zip(threads, others, strict=True))
            for others in (two, free)
        )
        step = count_step(name, (1, 28, 28), size)
        predicted = statistics.median(half) + exchange_seconds(step, [found[2]["by_size"] for found in rounds])
        lines.append(
            f"| {name}, {size} | {spread(one)} | {spread(threads)} | {spread(two)} | {ratio:.2f} | {most:.2f} | "
            f"{step.exchanges}, {step.bytes / 2**20:.1f} MiB | {predicted * 1e3:.2f} |"
        )
    return lines


def exchange_seconds(step: Step, by_size: list[dict[str, float]]) -> float:
    """Seconds of a step's exchanges: a latency each and their bytes over the bandwidth, as exchanges alone take."""
    latency, largest = (statistics.median(found[str(size)] for found in by_size) for size in (SIZES[0], SIZES[-1]))
    return step.exchanges * latency + step.bytes * (largest - latency) / (4 * SIZES[-1])


def spread(seconds: list[float]) -> str:
    """Median and range, in milliseconds."""
    low, middle, high = (1e3 * pick(seconds) for pick in (min, statistics.median, max))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


class Counting(TorchDispatchMode):
    """Counts operators and their floating-point operations. FlopCounterMode fails where a penalty is differentiated."""

    def __init__(self) -> None:
        super().__init__()
        self.operators, self.flops = 0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and compute."""
        out = func(*args, **(kwargs or {}))
        self.operators += 1
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def count_step(name: str, shape: tuple[int, int, int], batch_size: int) -> Step:
    """Count what a step computes, and what two processes would exchange in it."""
    trainer = build_trainer(name, build_gan(name, shape), shape=shape, batch_size=batch_size, images=batch_size)
    trainer.follow_schedules(0.5)
    with Counting() as counting:
        trainer.step()
    exchanged: list[int] = []

    def pretend(tensor: torch.Tensor) -> torch.Tensor:
        exchanged.append(tensor.nbytes)
        return tensor

    together: dict[str, Any] = {"world_size": lambda: 2, "rank": lambda: 0, "_all_reduce": pretend}
    together["broadcast_weights"] = lambda module: None
    with mock.patch.multiple(processes, **together):
        build_trainer(name, build_gan(name, shape), shape=shape, batch_size=batch_size, images=batch_size).step()
    return Step(counting.flops, counting.operators, len(exchanged), sum(exchanged))


def gpu_seconds(step: Step, gpus: int, share: float, card: Card) -> float:
    """A step on so many cards, each with this share of the counted batch."""
    arithmetic = max(step.operators * card.launch, share * step.flops / card.flops)
    if gpus == 1:
        return arithmetic
    hops = 2 * math.ceil(math.log2(gpus))  # a tree, there and back
    bandwidth = card.within if gpus <= 8 else card.between
    return arithmetic + step.exchanges * hops * card.latency + 2 * step.bytes / bandwidth


def simulated() -> list[str]:
    """Images a second of one training by the number of GPUs, with the same batch and with the same share."""
    card = Card()
    lines = [
        f"Simulated images a second on H100s ({card.flops / 1e12:.0f} TFLOP/s reached, {card.launch * 1e6:.0f} µs an "
        f"operator, {card.latency * 1e6:.0f} µs a hop, {card.within / 1e9:.0f} GB/s within eight cards and "
        f"{card.between / 1e9:.0f} between machines), and the share of perfect scaling.",
        "",
        "| training | batch | " + " | ".join(f"{gpus} GPU{'s' * (gpus > 1)}" for gpus in GPUS) + " |",
        "|---|---|" + "--:|" * len(GPUS),
    ]
    cases = [("mlp", (1, 28, 28), 128), ("dcgan", (1, 28, 28), 32), ("dcgan", (3, 256, 256), 64)]
    for name, shape, batch_size in cases:
        step = count_step(name, shape, batch_size)
        title = f"{name}, {shape[1]} × {shape[2]} × {shape[0]}"
        alone = batch_size / gpu_seconds(step, 1, 1.0, card)
        for kind in ("stays", "grows"):
            cells = []
            for gpus in GPUS:
                grows = kind == "grows"
                if not grows and gpus > batch_size:
                    cells.append("–")
                    continue
                seconds = gpu_seconds(step, gpus, 1.0 if grows else 1 / gpus, card)
                rate = batch_size * (gpus if grows else 1) / seconds
                cells.append(f"{rate:,.0f} ({rate / alone / gpus:.0%})")
            batch = f"{batch_size} in all" if kind == "stays" else f"{batch_size} a GPU"
            lines.append(f"| {title} | {batch} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
