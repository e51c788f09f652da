"""One task of a fan-out, on the machine that got it: a clone, a process that builds in it, and the outcome.

Ray sends this file to machines that do not have this repository: it must import nothing but Python's own library.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TypedDict

LOCK, LOCK_HEAD = "dvc.lock", "schema: '2.0'\nstages:\n"
DONE, FAILED, NOT_BEGUN = "done", "failed", "not begun"


class Task(TypedDict):
    """One part of a build, and where on a machine its clone is."""

    name: str  # for people
    stage: str  # the last one that it builds: reference, evaluate@<variant> or report
    overrides: list[str]  # of params.yaml, as `dvc exp run -S` takes them
    stages: list[str]  # whose entries it needs in dvc.lock
    needs: list[int]  # numbers of the tasks before it
    folder: str  # in the scratch folder; another one for other code or parameters
    processes: int  # most that run at once
    threads: int  # of each of them


class Outcome(TypedDict):
    """The outcome of a task."""

    name: str
    state: str
    reason: str  # why it is not done
    lock: dict[str, str]  # what it changed in dvc.lock, by stage


def run_task(archive: bytes, task: Task, scratch: str, variables: dict[str, str], *earlier: Outcome) -> Outcome:
    """Build and push one part. A clone that an earlier attempt left is used again, so its training resumes.

    Afterwards the clone is removed, unless MLflow's server did not take all that its stages recorded.

    `variables` are added to this machine's. `earlier` has the outcomes of the tasks that this one needs.
    """
    if missing := [outcome["name"] for outcome in earlier if outcome["state"] != DONE]:
        return Outcome(name=task["name"], state=NOT_BEGUN, reason=f"it needs {', '.join(missing)}", lock={})
    try:
        place = Path(scratch).expanduser().resolve()
    except RuntimeError:
        return Outcome(name=task["name"], state=FAILED, reason=f"{scratch}: there is no such home folder", lock={})
    folder = place / task["folder"]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # its config may hold credentials
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # an attempt that was given up may still be running
        unpack(archive, folder)
        before = read_lock(folder)
        known = before | {stage: entry for outcome in earlier for stage, entry in outcome["lock"].items()}
        write_lock(folder, {stage: known[stage] for stage in task["stages"] if stage in known})
        status, last_line = build(task, folder, place / "cache", variables, lock.fileno())
        if status:
            return Outcome(name=task["name"], state=FAILED, reason=last_line.removeprefix("error: "), lock={})
        changed = {stage: entry for stage, entry in read_lock(folder).items() if entry != before.get(stage)}
        if any((folder / ".cache" / "tracking").glob("*/events.jsonl")):
            later = f"cd {folder} && python -m stages.tracking.exporter sync"
            print(
                f"{task['name']}: its clone stays, as not all is in MLflow yet; to export it later: {later}", flush=True
            )
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return Outcome(name=task["name"], state=DONE, reason="", lock=changed)


def unpack(archive: bytes, folder: Path) -> None:
    """Write the clone, over an existing one: files in git are replaced, outputs and checkpoints stay."""
    shutil.rmtree(folder / ".git", ignore_errors=True)  # git's objects cannot be overwritten
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4, which Debian 12 lacks
            packed.extraction_filter = tarfile.data_filter
        for member in packed.getmembers():
            if not member.isdir():  # what is there may be a link into the cache that clones share
                (folder / member.name).unlink(missing_ok=True)
        packed.extractall(folder)  # noqa: S202


def read_lock(folder: Path) -> dict[str, str]:
    """The entries of dvc.lock as they are written, by stage."""
    file = folder / LOCK
    text = file.read_text(encoding="utf-8").partition(LOCK_HEAD)[2] if file.exists() else ""
    parts = re.split(r"^  (\S+):\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def write_lock(folder: Path, entries: dict[str, str]) -> None:
    """Write dvc.lock with these entries: DVC reads and writes all of it after each stage, so it should be short."""
    (folder / LOCK).write_text(
        LOCK_HEAD + "".join(f"  {stage}:\n{entry}" for stage, entry in entries.items()), encoding="utf-8"
    )


def build(task: Task, folder: Path, cache: Path, variables: dict[str, str], lock: int) -> tuple[int, str]:
    """Build in a clone and print its output; return exit status and last line.

    The process leads a group of its own. It ends with the group as soon as its stdin ends: when this process is gone.
    """
    command = [sys.executable, "-m", "stages.build_part", task["stage"], "--watched", "--cache", str(cache)]
    command += [part for override in task["overrides"] for part in ("-S", override)]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # stages run `python`
        "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "tmp" / "site"),  # removed with the clone
        **variables,
    }
    last_line = ""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        pass_fds=(lock,),  # held until both are gone
    ) as process:
        for line in process.stdout or ():
            last_line = line.strip() or last_line
            print(line, end="", flush=True)
    return process.returncode, last_line
