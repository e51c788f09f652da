"""Build variants on many machines, with Ray or SLURM, each on one core or GPU. Results go to DVC's remote.

Afterwards `dvc repro --pull` fetches them and runs nothing. The working tree does not change.
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
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from stages.cluster import worker
from stages.cluster.plan import Experiment, make_plan
from stages.cluster.plan_folder import write_plan
from stages.cluster.snapshot import pack, snapshot
from stages.cluster.worker import FAILED, Outcome, Task
from stages.config.errors import ParameterError, StageError, errors_as_lines, first_ten
from stages.storage.files import one_line

CONNECT_SECONDS = 10
RETRIES = 5  # of a task whose machine or process died
PASSED_ON = ("MLFLOW_", "AWS_", "AZURE_", "GOOGLE_")  # prefixes of variables that MLflow's and DVC's clients read
SLURM_SCRIPT = "docs/examples/slurm.sh"
ARRAY = 1000  # numbers of jobs that SLURM allows in an array, unless a cluster sets MaxArraySize
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}


def main() -> None:
    """Fan out; the exit code is 1 if a part was not built, and the last line names it."""
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
        tell_what_waits(ray, tasks, gpus)
        outcomes = run_tasks(ray, archive, tasks, options.scratch, gpus)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(
        f"fan_out: {len(tasks)} tasks on {sum(node['Alive'] for node in ray.nodes())} nodes, {minutes} min {seconds} s"
    )
    print(
        "\n".join(f"fan_out: to fetch the results: {command}" for command in ways_home(experiments, options.variants))
    )
    exit_with_failed(outcomes)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("variants", nargs="*", metavar="variant", help="default: all, and the report")
    values = "change a parameter, as in `dvc exp run -S`; with several values (key=1,2) each is one experiment"
    made.add_argument("-S", dest="overrides", action="append", default=[], metavar="key=value", help=values)
    made.add_argument("--address", help="of the Ray cluster (default: RAY_ADDRESS, else one on this machine)")
    gpus = "GPUs per process, for example 0.5 (default: 1 if the cluster has GPUs and `device` allows them, else 0)"
    made.add_argument("--gpus", type=float, help=gpus)
    made.add_argument(
        "--scratch", default="~/.cache/reprogan", help="work folder on each machine (default: %(default)s)"
    )
    made.add_argument("--plan", type=Path, metavar="FOLDER", help="run nothing: write what SLURM jobs need")
    return made


def check(options: argparse.Namespace) -> None:
    """Raise ParameterError for options that are not allowed."""
    gpus = options.gpus or 0
    if not 0 <= gpus < math.inf or (options.plan and gpus != int(gpus)):
        raise ParameterError(f"--gpus: {gpus:g} is not allowed: expected 0, 1, 2, … or, with Ray, a fraction")
    if not options.scratch.startswith(("/", "~")):  # each machine has its own home folder
        raise ParameterError(f"--scratch: {options.scratch!r} is not allowed: expected an absolute path, or ~/…")


def check_shares(gpus: float, tasks: Sequence[Task]) -> None:
    """Raise ParameterError for a part of a GPU that cannot be had: Ray gives one task parts of one GPU alone.

    Several processes of a task do not share a GPU.
    """
    processes = max(task["processes"] for task in tasks)
    if gpus != int(gpus) and (gpus > 1 or processes > 1):
        others = "" if processes > 1 else ", or less than 1"
        raise ParameterError(
            f"--gpus: {gpus:g} is not allowed: a task has {processes} processes; expected a whole number{others}"
        )


def connect(address: str | None) -> Any:
    """Ray, connected to a cluster or started on this machine; raises StageError."""
    try:
        import ray
    except ImportError:
        raise StageError("Ray is not installed: pip install '.[cluster]'") from None
    address = address or os.environ.get("RAY_ADDRESS")
    if address and (place := re.fullmatch(r"([\w.-]+):(\d+)", address)):
        try:  # Ray itself would wait forever
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
    """GPUs per process, if --gpus is not given: 1 if stages would use one, else 0."""
    devices = {experiment.params.device for experiment in experiments}
    return float("cuda" in devices or ("auto" in devices and ray.cluster_resources().get("GPU", 0) > 0))


def tell_what_waits(ray: Any, tasks: Sequence[Task], gpus: float) -> None:
    """Say which tasks no node can take: Ray starts them once there is such a node, and waits for it silently."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    waiting = defaultdict[tuple[int, float], list[str]](list)
    for task in tasks:
        cores, cards = task["processes"] * task["threads"], task["processes"] * gpus
        if not any(node.get("CPU", 0) >= cores and node.get("GPU", 0) >= cards for node in nodes):
            waiting[cores, cards].append(task["name"])
    for (cores, cards), names in waiting.items():
        needs = f"{cores} cores" + (f" and {cards:g} GPUs" if cards else "")
        print(f"fan_out: no node has {needs}: waiting for one: {', '.join(first_ten(names))}", file=sys.stderr)


def run_tasks(ray: Any, archive: bytes, tasks: Sequence[Task], scratch: str, gpus: float) -> list[Outcome]:
    """Run tasks; return their outcomes. Ray starts a task after those that it needs, and again if its machine dies."""
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
        except ray.exceptions.RayError as error:  # the task died each time, or one that it needs did
            reason = str(error).strip().splitlines()[-1]
            outcomes.append(Outcome(name=task["name"], state=FAILED, reason=reason, lock={}))
    return outcomes


def submission(plan: Path, tasks: Sequence[Task], gpus: float | None) -> str:
    """Commands that submit a plan to SLURM as job arrays: what all variants need, then variants, then reports."""
    cores = max(task["processes"] * task["threads"] for task in tasks)
    cards = max(task["processes"] for task in tasks) * (gpus or 0)
    shared = f"sbatch --parsable --cpus-per-task={cores}" + (f" --gres=gpu:{cards:g}" if cards else "")
    folder = shlex.quote(str(plan))
    lines, after, first = list[str](), "", 0
    for _, group in groupby(tasks, lambda task: task["stage"].split("@")[0]):
        end, before = first + len(list(group)), len(lines)
        for offset in range(first // ARRAY * ARRAY, end, ARRAY):
            numbers = f"{max(first - offset, 0)}-{min(end - offset, ARRAY) - 1}"
            log = f"task-{offset // ARRAY}%3a.log" if offset else "task-%a.log"
            options = f"--output={folder}/{log} --array={numbers}{after}"
            arguments = f"{SLURM_SCRIPT} {folder}" + (f" {offset}" if offset else "")
            lines.append(f"array{len(lines)}=$({shared} {options} {arguments})")
        after = " --dependency=afterany" + "".join(f":$array{index}" for index in range(before, len(lines)))
        first = end
    return "\n".join([*lines, f"echo {' '.join(f'$array{index}' for index in range(len(lines)))}"])


def ways_home(experiments: Sequence[Experiment], variants: Sequence[str]) -> Iterator[str]:
    """For each experiment the command that fetches its results, and runs nothing."""
    for experiment in experiments:
        changes = [part for change in experiment.overrides for part in ("-S", change)]
        run = ["exp", "run", *(["--temp"] if len(experiments) > 1 else [])] if changes else ["repro"]
        yield shlex.join(["dvc", *run, "--pull", *changes, *(f"evaluate@{name}" for name in variants)])


def exit_with_failed(outcomes: Sequence[Outcome]) -> None:
    """Exit with 1 if a part failed, and name it."""
    failed = [outcome for outcome in outcomes if outcome["state"] == FAILED]
    for outcome in failed:
        print(f"fan_out: {outcome['name']}: {outcome['reason']}", file=sys.stderr)
    if failed:
        sys.exit(f"fan_out: failed: {', '.join(outcome['name'] for outcome in failed)}; see above")


if __name__ == "__main__":
    main()
