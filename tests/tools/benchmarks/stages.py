"""Seconds that stages take in addition to their work: starting, importing, reading, writing, tracking.

In a small clone of this repository each stage runs as `dvc repro` runs it, except that the work itself is timed. The
rest of the process's time, start and end included, is compared with a process which imports torch.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

VARIANT = "dcgan"
WORK = {  # the functions of a stage that do what it is for, by the modules where it finds them
    "train": ("stages.training.session:Session.run",),
    "sample": (
        "stages.sample:choose_checkpoint",
        "stages.contracts.generator:Generator.draw",
        "stages.contracts.generator:Generator.draw_pictures",
    ),
    "evaluate": ("stages.evaluate:see_samples", "stages.evaluate:score_seed"),
    "report": (
        "stages.report:write_markdown",
        "stages.reporting.html_page:write_html",
        "stages.reporting.pictures:draw_samples",
        "stages.reporting.pictures:draw_scores",
    ),
}
TIMES = 7


def find(path: str) -> tuple[Any, str]:
    """The module or class that has a function, and the function's name there."""
    where, found = path.split(":")
    *owners, name = found.split(".")
    return getattr(import_module(where), owners[0]) if owners else import_module(where), name


def measure(stage: str) -> None:
    """Run a stage in the current folder; print the seconds of work in it."""
    module = import_module(f"stages.{stage}")
    worked = [0.0]

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments, **options)
            worked[0] += time.perf_counter() - start
            return result

        return call

    for path in WORK[stage]:
        owner, name = find(path)
        setattr(owner, name, timed(getattr(owner, name)))
    of_variant = stage != "report"
    sys.argv = [stage, *([VARIANT] if of_variant else [])]
    module.run_stage(module.main, None, *(["variant"] if of_variant else []), components=of_variant)
    print(f"\n{worked[0]}")


def main() -> None:
    """Build the clone, take turns; print the table, and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", metavar="STAGE", help=argparse.SUPPRESS)
    if stage := parser.parse_args().measure:
        measure(stage)
        return
    from stages.config.params import load
    from tests.conftest import run
    from tests.tools.benchmarks.training import RESULTS, describe
    from tests.tools.rebuilds import smoke_clone

    with tempfile.TemporaryDirectory() as folder:
        clone = smoke_clone(Path(folder) / "reprogan", [VARIANT])
        run("dvc", "repro", cwd=clone)
        beside: dict[str, list[float]] = {stage: [] for stage in ("torch", *WORK)}
        work: dict[str, list[float]] = {stage: [] for stage in WORK}
        for _ in range(TIMES):
            start = time.perf_counter()
            run(sys.executable, "-c", "import torch", cwd=clone)
            beside["torch"].append(time.perf_counter() - start)
            for stage in WORK:
                start = time.perf_counter()
                done = run(sys.executable, "-m", "tests.tools.benchmarks.stages", "--measure", stage, cwd=clone)
                worked = float(done.stdout.split("\n")[-2])
                beside[stage].append(time.perf_counter() - start - worked)
                work[stage].append(worked)
    bare = statistics.median(beside["torch"])
    lines = [
        f"Seconds of {VARIANT}'s stages in the smoke budget, medians of {TIMES}, on {describe(load())}. "
        f"A bare `import torch` takes {bare:.2f} s.",
        "",
        "| stage | work, s | beside it, s | beside it / import torch |",
        "|---|--:|--:|--:|",
    ]
    for stage in WORK:
        rest = statistics.median(beside[stage])
        # of one round each: a machine that slows down slows both
        ratio = statistics.median(
            of_stage / torch for of_stage, torch in zip(beside[stage], beside["torch"], strict=True)
        )
        lines.append(f"| {stage} | {statistics.median(work[stage]):.2f} | {rest:.2f} | {ratio:.2f} |")
    table = "\n".join(lines) + "\n"
    print(table)
    (RESULTS / "stages.md").write_text(table)


if __name__ == "__main__":
    main()
