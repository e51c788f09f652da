"""A plan in a folder that all machines see, for SLURM's jobs: the clone, the tasks, and their outcomes."""

from collections.abc import Sequence
from pathlib import Path

from stages.cluster.worker import NOT_BEGUN, Outcome, Task, run_task
from stages.config.errors import ParameterError
from stages.storage.files import read_json, write_bytes, write_json

ARCHIVE = "repository.tar.gz"
PLAN = "plan.json"


def write_plan(folder: Path, archive: bytes, tasks: Sequence[Task], scratch: str) -> None:
    """Write a plan; raises ParameterError if the folder has one already."""
    if (folder / PLAN).exists():
        raise ParameterError(f"{folder} has a plan already: choose another folder, or remove this one")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # the archive may hold credentials
    write_bytes(folder / ".gitignore", b"*\n")  # git must not have them
    write_bytes(folder / ARCHIVE, archive)
    write_json(folder / PLAN, {"scratch": scratch, "tasks": tasks})


def read_tasks(folder: Path) -> list[Task]:
    """The tasks of a plan; raises StageError where there is none."""
    tasks: list[Task] = read_json(folder / PLAN)["tasks"]
    return tasks


def run_planned(folder: Path, number: int) -> Outcome:
    """Run a task and write its outcome; raises ParameterError for a number that no task has."""
    tasks = read_tasks(folder)
    if not 0 <= number < len(tasks):
        raise ParameterError(f"no task has the number {number}; expected 0 to {len(tasks) - 1}")
    earlier = [read_outcome(folder, tasks, needed) for needed in tasks[number]["needs"]]
    scratch: str = read_json(folder / PLAN)["scratch"]
    outcome = run_task((folder / ARCHIVE).read_bytes(), tasks[number], scratch, {}, *earlier)
    write_json(outcome_file(folder, number), outcome)
    return outcome


def read_outcome(folder: Path, tasks: Sequence[Task], number: int) -> Outcome:
    """The outcome of a task."""
    file = outcome_file(folder, number)
    if not file.exists():
        return Outcome(name=tasks[number]["name"], state=NOT_BEGUN, reason="it has not ended", lock={})
    outcome: Outcome = read_json(file)
    return outcome


def outcome_file(folder: Path, number: int) -> Path:
    """Where a task's outcome is written."""
    return folder / "outcomes" / f"{number}.json"
