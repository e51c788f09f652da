"""What a fan-out has to do: for each experiment what all variants need, the variants, and the report."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from dvc.utils.serialize import parse_yaml
from hydra.errors import HydraException

from stages.cluster.worker import Task
from stages.config.errors import ParameterError
from stages.config.inputs import value_at
from stages.config.params import PARAMS_FILE, Params, load
from stages.storage.files import one_line

CHECK = "check"
PREPARED = ("fetch", "preprocess", "classifier", "reference")  # what all variants need
OF_VARIANT = ("train", "sample", "evaluate")
REFERENCE, REPORT = PREPARED[-1], "report"
CODE = "stages/"


class Experiment(NamedTuple):
    """Changes of params.yaml, and what they result in."""

    overrides: list[str]
    label: str  # how it differs from other experiments, for people
    params: Params
    params_file: str
    inputs: dict[str, Any]  # what stages depend on, by stage


class Plan:
    """Tasks in an order in which they can run. Experiments share tasks with the same inputs."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self._numbers: dict[str, int] = {}  # of tasks, by their folder

    def add(self, experiment: Experiment, stages: Sequence[str], needs: Sequence[int], depends_on: Any) -> int:
        """The number of the task that builds the last of these stages: a new one, or an equal one that exists."""
        stage = stages[-1]
        before = [self.tasks[number]["folder"] for number in needs]
        content = json.dumps([before, depends_on], sort_keys=True, default=str)
        folder = f"{hashlib.sha256(content.encode()).hexdigest()[:16]}-{stage.replace('@', '-')}"
        name, params = stage.removeprefix("evaluate@"), experiment.params
        if folder in self._numbers:
            self.tasks[self._numbers[folder]]["name"] = name  # several experiments share it
        else:
            self._numbers[folder] = len(self.tasks)
            task = Task(
                name=f"{name} {experiment.label}".strip(),
                stage=stage,
                stages=list(stages),
                overrides=experiment.overrides,
                needs=list(needs),
                folder=folder,
                processes=params.processes,
                threads=params.threads,
            )
            self.tasks.append(task)
        return self._numbers[folder]


def make_plan(clone: Path, variants: Sequence[str], overrides: Sequence[str]) -> tuple[list[Task], list[Experiment]]:
    """All tasks, those that others need first, and the experiments. Without `variants`: all variants, and the report.

    Raises ParameterError for parameters, or variants, that are not allowed.
    """
    changes = sweep(overrides)
    experiments = [read_experiment(clone, each, differing(each, changes)) for each in changes]
    for experiment in experiments:
        for name in variants:
            experiment.params.variant(name)
    plan = Plan()
    references = [plan.add(each, PREPARED, [], [each.inputs[stage] for stage in PREPARED]) for each in experiments]
    trained = []
    for each, reference in zip(experiments, references, strict=True):
        stages = {name: [f"{stage}@{name}" for stage in OF_VARIANT] for name in variants or each.params.variants}
        inputs = {name: [each.inputs[stage] for stage in of_one] for name, of_one in stages.items()}
        trained.append([plan.add(each, [*PREPARED, *stages[name]], [reference], inputs[name]) for name in stages])
    if not variants:
        for each, reference, numbers in zip(experiments, references, trained, strict=True):
            others = [stage for stage in each.inputs if stage != REPORT]
            plan.add(each, [*others, REPORT], [reference, *numbers], [each.params_file, each.inputs[REPORT]])
    return plan.tasks, experiments


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """The changes of each experiment: as with `dvc exp run --queue -S`, a key may have several values."""
    if not overrides:
        return [[]]
    try:
        return [changes["params"] for changes in get_hydra_sweeps({"params": list(overrides)})]
    except (DvcException, HydraException) as error:
        raise ParameterError(f"-S {' -S '.join(overrides)}: {one_line(error)}") from None


def differing(changes: Sequence[str], of_all: Sequence[Sequence[str]]) -> str:
    """The changes that not all experiments make, with the last part of their keys."""
    keys_and_values = [change.partition("=") for change in changes if not all(change in each for each in of_all)]
    return ", ".join(f"{key.split('.')[-1]}{equals}{value}" for key, equals, value in keys_and_values)


def read_experiment(clone: Path, overrides: list[str], label: str) -> Experiment:
    """An experiment with these changes; the clone is left as it was. Raises ParameterError."""
    file = clone / PARAMS_FILE
    before = file.read_bytes()
    try:
        change_parameters(file, overrides)
        with contextlib.chdir(clone):
            params = load()
        return Experiment(overrides, label, params, file.read_text(), read_inputs(clone))
    finally:
        file.write_bytes(before)


def change_parameters(file: Path, overrides: list[str]) -> None:
    """Change params.yaml as `dvc exp run -S` does, to the byte; raises ParameterError."""
    if not overrides:
        return
    try:
        apply_overrides(file, overrides)
    except (DvcException, HydraException) as error:
        raise ParameterError(f"-S {' -S '.join(overrides)}: {one_line(error.__cause__ or error)}") from None


def read_inputs(clone: Path) -> dict[str, Any]:
    """By stage: its command, its files with hashes of code, and the values of its parameters."""
    parameters = parse_yaml((clone / PARAMS_FILE).read_text(), PARAMS_FILE)
    found, hashes = {}, dict[str, str]()
    with Repo(str(clone)) as repo:
        for stage in repo.index.stages:
            keys = [key for dep in stage.deps if isinstance(dep, ParamsDependency) for key in dep.params]
            paths = [dep.def_path for dep in stage.deps]
            hashes |= {path: hash_code(clone / path) for path in paths if path.startswith(CODE) and path not in hashes}
            files = [(path, hashes.get(path)) for path in paths]
            found[stage.name] = [stage.cmd, files, [(key, value_at(parameters, key)) for key in keys]]
    return found


def hash_code(path: Path) -> str:
    """Hash of a file, or of all Python files in a folder."""
    files = sorted(path.glob("[!.]*.py")) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
