"""Export event logs to MLflow: `serve` while stages write them, `sync` for those left behind."""

import argparse
import contextlib
import gc
import logging
import os
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from stages.config.errors import errors_as_lines
from stages.storage.files import write_bytes
from stages.tracking.artifacts import ArtifactError
from stages.tracking.exporter_process import (
    EVENTS,
    FAILURE,
    LOCK,
    POLL_SECONDS,
    event_logs,
    exporter_lock,
    is_free,
    take_notices,
)
from stages.tracking.log_follower import LogFollower
from stages.tracking.store import STORE_FILE, quiet
from stages.tracking.store_errors import explain, is_away

IDLE_SECONDS = 30  # without an event log, until an exporter ends


def serve(key: str) -> None:
    """Export the logs of one key until there has been none for a while; return at once if another process does.

    Also return if the store's file was deleted: the stage that waits starts another exporter.
    """
    os.nice(10)  # trainings first
    # a stage that asks whether anyone serves holds the lock for a moment
    with contextlib.suppress(Timeout), FileLock(exporter_lock(key), timeout=1):
        followers: dict[Path, LogFollower] = {}
        last = time.monotonic()
        while time.monotonic() - last < IDLE_SECONDS and event_logs().exists() and not STORE_FILE.is_gone():
            for folder in _folders(f"*.{key}"):
                if not (folder / FAILURE).exists():
                    _follow(folder, followers)
                    last = time.monotonic()
            time.sleep(POLL_SECONDS)


def _follow(folder: Path, followers: dict[Path, LogFollower]) -> None:
    """Export what is new in a log. If that fails, the log is left to `sync`, with a line that says why.

    If it succeeded before, the log is first exported again from its start: its run or the experiment may have been
    deleted meanwhile.
    """
    reason = ""
    try:
        if folder not in followers:
            followers[folder] = LogFollower(folder)
        if not followers[folder].advance():
            return
    except Timeout:  # `sync` has it
        return
    except Exception as error:  # a store that is away must not end the export of other logs
        if STORE_FILE.is_gone():  # the next exporter begins this log anew
            return
        is_given_up = not _is_worth_another_try(error, followers.get(folder))
        logging.getLogger().exception("%s: %s", "not exported" if is_given_up else "begun anew", folder.name)
        reason = _reason(error) if is_given_up else ""
    if follower := followers.pop(folder, None):
        follower.close()
    if reason and folder.exists():  # it may be what is missing
        with contextlib.suppress(OSError):
            write_bytes(folder / FAILURE, reason.encode())  # whole: a stage reads it as soon as it is there


def sync() -> int:
    """Export every log that was left behind, oldest first, and remove it; return how many could not be."""
    failed, folders = 0, _folders("*")
    for index, folder in enumerate(folders, 1):
        if not (folder / EVENTS).exists():  # exported since by another process; to ask for its lock would make it anew
            continue
        if not is_free(folder / LOCK):
            print(f"left alone {folder.name}: its stage is running")
            continue
        try:
            with quiet(), contextlib.closing(LogFollower(folder)) as follower:
                follower.advance()
            print(f"exported {folder.name}")
        except Timeout:
            print(f"left alone {folder.name}: it is being exported")
        except Exception as error:
            failed += 1
            others = len(folders) - index if is_away(error) else 0
            more = f" and {others} more" if others else ""
            print(f"not exported {folder.name}{more}: {_reason(error)}", file=sys.stderr)
            if is_away(error):
                failed += others
                break
    for notice in take_notices():
        print(notice)
    return failed


def _folders(pattern: str) -> list[Path]:
    return sorted(path.parent for path in event_logs().glob(f"{pattern}/{EVENTS}"))


def _is_worth_another_try(error: Exception, follower: LogFollower | None) -> bool:
    return follower is not None and follower.has_exported and not (is_away(error) or isinstance(error, ArtifactError))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ArtifactError) else explain(error)


def main() -> None:
    """Serve or sync, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve").add_argument("key", help="key of the logs to export")
    commands.add_parser("sync")
    arguments = parser.parse_args()
    gc.freeze()  # MLflow stays: its modules have no garbage
    with errors_as_lines():
        if arguments.command == "sync":
            sys.exit(1 if sync() else 0)
        with quiet():
            serve(arguments.key)


if __name__ == "__main__":
    main()
