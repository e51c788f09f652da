"""What training and evaluation cost: by batch size, by channels, by samples; a table, and a picture of it.

Every point is measured in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from tests.tools.benchmarks.process import forget_peak, peak, run_apart

BATCH_SIZES = (8, 16, 32, 64, 128, 256, 512)
BASE_CHANNELS = (4, 8, 16, 24, 32, 48, 64, 96)
ROUNDS = 3
SAMPLES = (1000, 2000, 5000, 10_000, 20_000, 50_000)
VARIANT = "dcgan"
KNEE = 0.8  # of the best rate


def measure_training(batch_size: int, base_channels: int) -> dict[str, float]:
    """Milliseconds of a step (the median over cycles of lazy penalties), MiB beyond libraries and data."""
    from tests.tools.benchmarks.arithmetic import MatrixOperations
    from tests.tools.benchmarks.training import build_trainer, read_inputs

    params, train = read_inputs()
    variant = params.variant(VARIANT)
    network = variant.network.model_copy(update={"base_channels": base_channels})
    variant = variant.model_copy(update={"network": network, "batch_size": batch_size})
    params = params.model_copy(update={"variants": {VARIANT: variant}})
    before = forget_peak()
    trainer = build_trainer(params, VARIANT, train)
    for _ in range(12):
        trainer.step()
    times: list[float] = []
    end = time.perf_counter() + 3
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        for _ in range(4):
            trainer.step()
        times.append((time.perf_counter() - start) / 4)
    memory = peak() - before
    with MatrixOperations() as operations:
        for _ in range(4):
            trainer.step()
    seconds = statistics.median(times)
    return {
        "milliseconds": 1000 * seconds,
        "images_a_second": batch_size / seconds,
        "MiB": memory,
        "gigaflops": operations.count / 4 / seconds / 1e9,
    }


def measure_evaluation(samples: int) -> dict[str, float]:
    """Seconds for features and all scores of so many samples (real training images), MiB beyond libraries and data."""
    from stages.config.params import load
    from stages.evaluation.evaluator import Evaluator
    from stages.scoring.score import compute_scores, find_scores
    from stages.storage.files import read_json
    from stages.storage.paths import REFERENCE
    from stages.training.device import prepare

    params, scores = load().model_copy(update={"device": "cpu"}), find_scores().values()
    evaluator = Evaluator(params, read_json(REFERENCE / "real.json"), prepare(params, 0))
    context, train = evaluator.context, evaluator.train
    images = train.images[np.random.default_rng(0).permutation(len(train.images))[:samples]]
    before = forget_peak()
    start = time.perf_counter()
    features, logits = evaluator.features_and_logits(images)
    drawn = time.perf_counter()
    compute_scores(evaluator.image_set(images, features, logits), context, scores)
    return {
        "features_seconds": drawn - start,
        "scores_seconds": time.perf_counter() - drawn,
        "MiB": peak() - before,
    }


def knee(table: pd.DataFrame, column: str) -> int:
    """The first row whose rate reaches most of the best one's."""
    reached = table[table[column] >= KNEE * table[column].max()]
    return int(min(reached.index))


def picture(batches: pd.DataFrame, channels: pd.DataFrame, evaluation: pd.DataFrame, title: str) -> Any:
    """Six plots in two rows: what changes, against time above and memory below."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(13, 7), layout="constrained", sharex="col")
    panels = [
        (axes[0, 0], batches, ["milliseconds"], "ms a step"),
        (axes[1, 0], batches, ["MiB"], "MiB"),
        (axes[0, 1], channels, ["milliseconds"], "ms a step"),
        (axes[1, 1], channels, ["MiB"], "MiB"),
        (axes[0, 2], evaluation, ["features_seconds", "scores_seconds"], "seconds"),
        (axes[1, 2], evaluation, ["MiB"], "MiB"),
    ]
    for axis, table, columns, label in panels:
        for column in columns:
            axis.plot(table.index, table[column], "o-", label=column.replace("_seconds", ""))
            for place, value in table[column].items():
                axis.annotate(
                    f"{value:.2g}" if value < 10 else f"{value:.0f}",
                    (place, value),
                    (0, 5),
                    fontsize=8,
                    textcoords="offset points",
                    ha="right",
                )
        axis.set(xscale="log", yscale="log", ylabel=label)
        axis.margins(y=0.12)
        axis.grid(alpha=0.3, which="both")
        axis.set_xticks(list(table.index), [f"{value:,}" for value in table.index], minor=False)
        axis.minorticks_off()
    axes[0, 2].legend()
    for axis, name in zip(axes[1], ("batch size", "base channels", "samples"), strict=True):
        axis.set_xlabel(name)
        axis.tick_params(axis="x", rotation=45)
    figure.suptitle(title)
    return figure


def main() -> None:
    """Measure all points, write costs.csv, costs.png and costs.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="+", metavar="WHAT", help=argparse.SUPPRESS)
    asked = parser.parse_args().measure
    if asked:
        kind, *numbers = asked
        measures: dict[str, Callable[..., dict[str, float]]] = {
            "training": measure_training,
            "evaluation": measure_evaluation,
        }
        print(json.dumps(measures[kind](*map(int, numbers))))
        return

    from stages.config.params import load
    from tests.tools.benchmarks.training import RESULTS, describe

    params = load()
    variant = params.variant(VARIANT)
    own_batch, own_channels = variant.batch_size, variant.network.model_dump()["base_channels"]
    points: list[tuple[object, ...]] = [("training", size, own_channels) for size in BATCH_SIZES]
    points += [("training", own_batch, count) for count in BASE_CHANNELS if count != own_channels]
    points += [("evaluation", count) for count in SAMPLES]
    rounds = [
        {point: run_apart("tests.tools.benchmarks.costs", "--measure", *point) for point in points}
        for _ in range(ROUNDS)
    ]  # a slow minute hits all points alike
    found = {point: pd.DataFrame([each[point] for each in rounds]).median() for point in points}
    batches = pd.DataFrame({size: found["training", size, own_channels] for size in BATCH_SIZES}).T
    channels = pd.DataFrame({count: found["training", own_batch, count] for count in BASE_CHANNELS}).T
    evaluation = pd.DataFrame({count: found["evaluation", count] for count in SAMPLES}).T
    machine = describe(params)
    lines = [
        f"What {VARIANT} costs, medians of {ROUNDS} rounds, on {machine}.",
        "",
        "![step time and memory against batch size and channels, evaluation against samples](costs.png)",
    ]
    for name, table in (("batch size", batches), ("base channels", channels), ("samples", evaluation)):
        lines += ["", f"| {name} | " + " | ".join(column.replace("_", " ") for column in table.columns) + " |"]
        lines += ["|--:|" + "--:|" * len(table.columns)]
        lines += [
            f"| {key:,} | " + " | ".join(f"{value:,.4g}" for value in row) + " |" for key, row in table.iterrows()
        ]
    lines += [
        "",
        f"Knees, where {KNEE:.0%} of the best rate is reached: batch size {knee(batches, 'images_a_second')} (images a "
        f"second), {knee(channels, 'gigaflops')} base channels (gigaflops).",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "costs.md").write_text("\n".join(lines) + "\n")
    kinds = {"batch_size": batches, "base_channels": channels, "samples": evaluation}
    pd.concat(kinds, names=["varied", "value"]).to_csv(RESULTS / "costs.csv", float_format="%.4g")
    picture(batches, channels, evaluation, f"{VARIANT}, {machine}").savefig(RESULTS / "costs.png", dpi=100)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
