"""Build variants on many machines, a core or a GPU each: with Ray, or with SLURM. Results go to DVC's remote.

Afterwards `dvc repro --pull` runs nothing here. The working tree is left alone.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from stages.cluster import worker
from stages.cluster.plan import Experiment, make_plan
from stages.cluster.plan_folder import write_plan
from stages.cluster.snapshot import pack, snapshot
from stages.cluster.worker import FAILED, Outcome, Task
from stages.config.errors import ParameterError, StageError, errors_as_lines
from stages.storage.files import one_line

CONNECT_SECONDS = 10
RETRIES = 5  # of a task whose machine or process died
PASSED_ON = ("MLFLOW_", "AWS_", "AZURE_", "GOOGLE_")  # begin variables that MLflow's and DVC's clients look at
SLURM_SCRIPT = "docs/examples/slurm.sh"
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}


def main() -> None:
    """Fan out; the exit code is 1 where a part was not built, and the last line says which."""
    options = parser().parse_args()
    with errors_as_lines():
        check(options)
        with snapshot(Path()) as clone:
            tasks, experiments = make_plan(clone, options.variants, options.overrides)
            archive = pack(clone)
        check_shares(options.gpus or 0, tasks)
        if options.plan:
            write_plan(options.plan, archive, tasks, options.scratch)
            print(submission(options.plan, tasks, options.gpus))
            print("\n".join(f"# then: {command}" for command in ways_home(experiments, options.variants)))
            return
        began = time.monotonic()
        ray = connect(options.address)
        gpus = options.gpus if options.gpus is not None else find_gpus(ray, experiments)
        outcomes = run_tasks(ray, archive, tasks, options.scratch, gpus)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(
        f"fan_out: {len(tasks)} tasks on {sum(node['Alive'] for node in ray.nodes())} nodes, {minutes} min {seconds} s"
    )
    print("\n".join(f"fan_out: to have them here: {command}" for command in ways_home(experiments, options.variants)))
    exit_with_failed(outcomes)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("variants", nargs="*", metavar="variant", help="by default all, and the report")
    values = "of params.yaml, as in `dvc exp run -S`; of several values (key=1,2) each is an experiment"
    made.add_argument("-S", dest="overrides", action="append", default=[], metavar="key=value", help=values)
    made.add_argument("--address", help="of the Ray cluster; by default RAY_ADDRESS, or one that runs here")
    gpus = "of a process, 0.5 say; by default 1 where the cluster has any and `device` allows it, or else 0"
    made.add_argument("--gpus", type=float, help=gpus)
    made.add_argument("--scratch", default="~/.cache/reprogan", help="a folder on each machine (default: %(default)s)")
    made.add_argument("--plan", type=Path, metavar="FOLDER", help="run nothing: write what SLURM's jobs need")
    return made


def check(options: argparse.Namespace) -> None:
    """Raise ParameterError for options that are not allowed."""
    gpus = options.gpus or 0
    if not 0 <= gpus < math.inf or (options.plan and gpus != int(gpus)):
        raise ParameterError(f"--gpus: {gpus:g} is not allowed: expected 0, 1, 2, … or, with Ray, a share of one")
    if not options.scratch.startswith(("/", "~")):  # each machine has its own home folder
        raise ParameterError(f"--scratch: {options.scratch!r} is not allowed: expected an absolute path, or ~/…")


def check_shares(gpus: float, tasks: Sequence[Task]) -> None:
    """Raise ParameterError where a task would take more than one GPU, and a part of another: Ray gives none of that."""
    processes = max(task["processes"] for task in tasks)
    if (needed := processes * gpus) > 1 and needed != int(needed):
        raise ParameterError(
            f"--gpus: {gpus:g} is not allowed: a task of {processes} processes would take {needed:g} GPUs; expected a "
            "whole number, or at most 1"
        )


def connect(address: str | None) -> Any:
    """Ray, connected to a cluster or started on this machine; raises StageError."""
    try:
        import ray
    except ImportError:
        raise StageError("Ray is not installed: pip install '.[cluster]'") from None
    address = address or os.environ.get("RAY_ADDRESS")
    if address and (place := re.fullmatch(r"([\w.-]+):(\d+)", address)):
        try:  # Ray itself would wait for ever
            socket.create_connection((place[1], int(place[2])), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise StageError(f"no Ray cluster answers at {address}: {error}") from None
    try:
        ray.init(address=address, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise StageError(f"Ray: {one_line(error)}") from None
    ray.cloudpickle.register_pickle_by_value(worker)  # other machines do not have it
    return ray


def find_gpus(ray: Any, experiments: Sequence[Experiment]) -> float:
    """GPUs of a task, unless their number was given: one where stages would use it."""
    devices = {experiment.params.device for experiment in experiments}
    return float("cuda" in devices or ("auto" in devices and ray.cluster_resources().get("GPU", 0) > 0))


def run_tasks(ray: Any, archive: bytes, tasks: Sequence[Task], scratch: str, gpus: float) -> list[Outcome]:
    """What became of each task. Ray starts it when those that it needs have ended, and again if its machine dies."""
    variables = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    shipped = ray.put(archive)
    run = ray.remote(worker.run_task)
    results: list[Any] = []
    for task in tasks:
        needs = [results[number] for number in task["needs"]]
        resources = {"num_cpus": task["processes"] * task["threads"], "num_gpus": task["processes"] * gpus}
        placed = run.options(name=task["name"], max_retries=RETRIES, **resources)
        results.append(placed.remote(shipped, task, scratch, variables, *needs))
    outcomes = []
    for task, result in zip(tasks, results, strict=True):
        try:
            outcomes.append(ray.get(result))
        except ray.exceptions.RayError as error:  # it died each time, or what it needs did
            reason = str(error).strip().splitlines()[-1]
            outcomes.append(Outcome(name=task["name"], state=FAILED, reason=reason, lock={}))
    return outcomes


def submission(plan: Path, tasks: Sequence[Task], gpus: float | None) -> str:
    """Commands that submit a plan to SLURM: an array of what all variants need, one of variants, one of reports."""
    cores = max(task["processes"] * task["threads"] for task in tasks)
    cards = max(task["processes"] for task in tasks) * (gpus or 0)
    shared = f"sbatch --parsable --cpus-per-task={cores}" + (f" --gres=gpu:{cards:g}" if cards else "")
    folder = shlex.quote(str(plan))
    shared += f" --output={folder}/task-%a.log"
    lines, first = [], 0
    for index, (_, group) in enumerate(groupby(tasks, lambda task: task["stage"].split("@")[0])):
        last = first + len(list(group)) - 1
        after = f" --dependency=afterany:$array{index - 1}" if index else ""
        lines.append(f"array{index}=$({shared} --array={first}-{last}{after} {SLURM_SCRIPT} {folder})")
        first = last + 1
    return "\n".join([*lines, f"echo {' '.join(f'$array{index}' for index in range(len(lines)))}"])


def ways_home(experiments: Sequence[Experiment], variants: Sequence[str]) -> Iterator[str]:
    """The command that brings the results of each experiment here, and runs nothing."""
    for experiment in experiments:
        changes = [part for change in experiment.overrides for part in ("-S", change)]
        run = ["exp", "run", *(["--temp"] if len(experiments) > 1 else [])] if changes else ["repro"]
        yield shlex.join(["dvc", *run, "--pull", *changes, *(f"evaluate@{name}" for name in variants)])


def exit_with_failed(outcomes: Sequence[Outcome]) -> None:
    """Exit with 1 where a part failed, and name it."""
    failed = [outcome for outcome in outcomes if outcome["state"] == FAILED]
    for outcome in failed:
        print(f"fan_out: {outcome['name']}: {outcome['reason']}", file=sys.stderr)
    if failed:
        sys.exit(f"fan_out: failed: {', '.join(outcome['name'] for outcome in failed)}; see above")


if __name__ == "__main__":
    main()
