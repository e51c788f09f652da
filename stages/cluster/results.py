"""Move results between machines: DVC's remote has outputs, and the run-cache from which DVC restores stages."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dvc.config import Config
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage.cache import _can_hash, _get_cache_hash, _get_stage_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_objects.fs.generic import copy

from stages.config.errors import StageError, first_ten


def share_cache(folder: Path) -> None:
    """Let this clone use a cache that clones on this machine share, with links into it if possible."""
    with dvc_errors(), Config(".dvc", validate=False).edit("local") as config:
        config["cache"] = {"dir": str(folder), "type": "reflink,hardlink,copy"}


def pull(names: Sequence[str]) -> None:
    """Fetch all outputs of stages as in dvc.lock, also those that git stores; raises StageError."""
    with dvc_errors(), Repo() as repo, repo.lock:
        stages = [restorable(stage) for name in names for stage in repo.stage.collect(name)]
        repo.cloud.pull(files_of(stages))
        if missing := [path for stage in stages for path in check_out(stage)]:
            raise StageError(f"the remote lacks {', '.join(first_ten(missing))}")


def check_out(stage: Any) -> list[str]:
    """Write a stage's outputs from DVC's cache; return those of which it lacks something."""
    try:
        missing = stage.checkout(force=True).get("failed", [])
    except FileNotFoundError as error:  # of an output that is a single file
        missing = [error.filename]
    return [os.path.relpath(path) for path in missing]


def push(names: Sequence[str]) -> None:
    """Send what stages made to the remote: files first, then the run-cache's entries; raises StageError.

    `dvc push --run-cache` leaves out the outputs that git stores (`cache: false`). DVC restores no stage without them.
    """
    with dvc_errors(), Repo() as repo, repo.lock:
        stages = [stage for name in names for stage in repo.stage.collect(name)]
        for stage in stages:
            repo.stage_cache.save(stage)  # outputs that git stores may not be in DVC's cache
        files = files_of([restorable(stage) for stage in stages])
        if failed := repo.cloud.push(files).failed:
            raise StageError(f"DVC's remote did not take {len(failed)} of {len(files)} files")
        local, remote = repo.cache.legacy, repo.cloud.get_remote_odb(hash_name="md5-dos2unix")
        for key, value in filter(None, map(find_entry, stages)):
            parts = ("runs", key[:2], key, value)
            copy(local.fs, local.fs.join(local.path, *parts), remote.fs, remote.fs.join(remote.path, *parts))


def restorable(stage: Any) -> Any:
    """A stage as DVC restores it from its run-cache: with all outputs in the cache, whatever dvc.yaml says of them."""
    return stage.repo.stage_cache._create_stage(to_single_stage_lockfile(stage), wdir=stage.wdir)


def files_of(stages: Sequence[Any]) -> set[Any]:
    """The hashes of all outputs of stages."""
    return {file for stage in stages for files in stage.get_used_objs().values() for file in files}


def find_entry(stage: Any) -> tuple[str, str] | None:
    """Folder and name of a stage's entry in the run-cache; None if DVC makes none for it."""
    if not _can_hash(stage):
        return None
    return _get_stage_hash(stage), _get_cache_hash(to_single_stage_lockfile(stage))


@contextlib.contextmanager
def dvc_errors() -> Iterator[None]:
    """Within it DVC's errors are StageErrors."""
    try:
        yield
    except DvcException as error:
        raise StageError(f"dvc: {error}") from None
