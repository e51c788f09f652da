"""Export event logs to MLflow: `serve` while stages write them, `sync` for those left behind."""

import argparse
import contextlib
import logging
import os
import sys
import time
import warnings
from pathlib import Path

from filelock import FileLock, Timeout

from stages.storage.files import one_line
from stages.tracking.exporter_process import EVENTS, FAILURE, LOCK, POLL_SECONDS, event_logs, exporter_lock, is_free
from stages.tracking.log_follower import LogFollower

IDLE_SECONDS = 30  # without an event log, until an exporter ends


def serve(key: str) -> None:
    """Export the logs of one key until there has been none for a while; return where another process does."""
    os.nice(10)  # trainings first
    # a stage that asks whether anyone serves holds the lock for a moment
    with contextlib.suppress(Timeout), FileLock(exporter_lock(key), timeout=1):
        followers: dict[Path, LogFollower] = {}
        last = time.monotonic()
        while time.monotonic() - last < IDLE_SECONDS and event_logs().exists():
            for folder in _folders(f"*.{key}"):
                if (folder / FAILURE).exists():
                    continue
                try:
                    followers[folder] = followers.get(folder) or LogFollower(folder)
                    if followers[folder].advance():
                        del followers[folder]
                except Timeout:  # `sync` has it
                    continue
                except Exception as error:  # a store that is away must not end the export of other logs
                    logging.getLogger().exception("not exported: %s", folder.name)
                    with contextlib.suppress(OSError):  # the folder may be what is missing
                        (folder / FAILURE).write_text(_reason(error), encoding="utf-8")
                    if follower := followers.pop(folder, None):
                        follower.close()  # `sync` may have it
                last = time.monotonic()
            time.sleep(POLL_SECONDS)


def sync() -> int:
    """Export every log that was left behind, oldest first, and remove it; return how many could not be."""
    failed = 0
    for folder in _folders("*"):
        if not is_free(folder / LOCK):
            print(f"left alone {folder.name}: its stage is running")
            continue
        try:
            follower = LogFollower(folder)
            try:
                follower.advance()
            finally:
                follower.close()
            print(f"exported {folder.name}")
        except Timeout:
            print(f"left alone {folder.name}: it is being exported")
        except Exception as error:
            failed += 1
            print(f"not exported {folder.name}: {_reason(error)}", file=sys.stderr)
    return failed


def _folders(pattern: str) -> list[Path]:
    return sorted(path.parent for path in event_logs().glob(f"{pattern}/{EVENTS}"))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


def main() -> None:
    """Serve or sync, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve").add_argument("key", help="of the logs to export")
    commands.add_parser("sync")
    arguments = parser.parse_args()
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", UserWarning)  # MLflow's hints on types
    if arguments.command == "sync":
        logging.disable()  # a person reads this: MLflow's hints are not for them, and it lifts filters of warnings
        warnings.showwarning = lambda *_, **__: None
        sys.exit(1 if sync() else 0)
    serve(arguments.key)


if __name__ == "__main__":
    main()
