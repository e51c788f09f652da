"""Training images per second on a GPU: the usual loop, the trainer without and with CUDA graphs, its kernels alone.

All take turns in one process, with the same deterministic algorithms; the ratios are medians over the turns. The
kernels' column is about what they would reach one after the other without a gap: it is the sum of their times in a
profile of eager steps, which makes short kernels a little longer.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from stages.config.errors import errors_as_lines
from stages.config.params import Params, load
from stages.storage.images import Split, read_split
from tests.tools.benchmarks.training import CYCLE, trainer_steps, usual_steps

PROFILED = 2 * CYCLE  # steps


@dataclass(frozen=True)
class Row:
    """One variant: images per second, and their ratios."""

    variant: str
    batch_size: int
    usual: float
    eager: float
    graphs: float
    kernels: float
    graphs_to_usual: float
    graphs_to_eager: float
    graphs_to_kernels: float


def rate(steps: Iterator[None], batch_size: int, seconds: float) -> float:
    """Images a second, over about that time."""
    torch.cuda.synchronize()
    start, taken = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for _ in range(CYCLE):
            next(steps)
        taken += CYCLE
    torch.cuda.synchronize()
    return taken * batch_size / (time.perf_counter() - start)


def kernel_seconds(steps: Iterator[None]) -> float:
    """What the kernels of a step take, all in a row."""
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU], acc_events=True) as profiler:
        for _ in range(PROFILED):
            next(steps)
        torch.cuda.synchronize()
    events = [event for event in profiler.key_averages() if event.device_type == DeviceType.CUDA]
    assert events, "the profiler saw no kernel"
    return sum(event.self_device_time_total for event in events) / 1e6 / PROFILED


def measure(params: Params, name: str, train: Split, turns: int, seconds: float) -> Row:
    """Take turns, and compare."""
    batch_size = params.variant(name).batch_size

    def with_graphs(use: bool) -> Params:
        return params.model_copy(update={"cuda_graphs": use})

    loops = {
        "usual": usual_steps(params, name, train),
        "eager": trainer_steps(with_graphs(False), name, train),
        "graphs": trainer_steps(with_graphs(True), name, train),
    }
    for steps in loops.values():
        rate(steps, batch_size, seconds / 2)
    kernels = batch_size / kernel_seconds(loops["eager"])
    found = [{loop: rate(steps, batch_size, seconds) for loop, steps in loops.items()} for _ in range(turns)]
    usual, eager, graphs = (statistics.median(turn[loop] for turn in found) for loop in loops)
    return Row(
        *(name, batch_size, usual, eager, graphs, kernels),
        graphs_to_usual=statistics.median(turn["graphs"] / turn["usual"] for turn in found),
        graphs_to_eager=statistics.median(turn["graphs"] / turn["eager"] for turn in found),
        graphs_to_kernels=graphs / kernels,
    )


def to_markdown(rows: list[Row], device: str) -> str:
    """The table, with what it was measured on."""
    lines = [
        f"Images a second of training, on {device}.",
        "",
        "| variant | batch | usual loop | kernel by kernel | CUDA graphs | kernels alone | graphs / usual | "
        "graphs / kernel by kernel | graphs / kernels |",
        "|---|" + "--:|" * 8,
    ]
    for row in rows:
        name, *numbers = asdict(row).values()
        cells = [f"{number:,.0f}" for number in numbers[:5]] + [f"{number:.2f}" for number in numbers[5:]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="default: all")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.7, help="of each turn")
    asked = parser.parse_args()
    params, train = load().model_copy(update={"device": "cuda"}), read_split("train")
    rows = []
    for name in asked.variants or params.variants:
        rows.append(measure(params, name, train, asked.turns, asked.seconds))
        print(rows[-1], flush=True)
    print("\n" + to_markdown(rows, f"{torch.cuda.get_device_name()}, torch {torch.__version__}"))


if __name__ == "__main__":
    with errors_as_lines():
        main()
