"""Reads one event log as it grows, and has it exported."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from stages.tracking.exporter_process import EVENTS, LOCK, is_free
from stages.tracking.mlflow_exporter import MLflowExporter

LIVE_SECONDS = 5  # between two exports of what a stage is still writing: few large ones take it less time


class LogFollower:
    """Exports one log until it ends, or its stage does; raises Timeout if another process exports it.

    A log that was exported in part before is exported again from its start: what the store has already stays.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = FileLock(folder / "exporting")
        self.lock.acquire(timeout=0)
        self.exporter = MLflowExporter(folder)
        self.position = 0
        self.has_exported = False  # anything yet
        self.waiting: list[dict[str, Any]] = []  # events read, and not exported yet
        self.due = 0.0  # when to export them, unless the log ends before

    def advance(self) -> bool:
        """Export what is new; return whether the log is over, and removed. Raises what the exporter raises."""
        is_orphan = is_free(self.folder / LOCK)  # asked before reading: nothing is written after
        with (self.folder / EVENTS).open("rb") as file:
            file.seek(self.position)
            *lines, partial = file.read().split(b"\n")  # a line may be half written
            self.position = file.tell() - len(partial)
        self.waiting += map(json.loads, lines)
        if is_orphan and (not self.waiting or self.waiting[-1]["event"] != "end"):
            died = (self.folder / EVENTS).stat().st_mtime
            self.waiting.append({"event": "end", "status": "KILLED", "time": int(died * 1000)})
        is_over = bool(self.waiting) and self.waiting[-1]["event"] == "end"
        if is_over or (self.waiting and time.monotonic() >= self.due):
            self.exporter.apply(self.waiting)
            self.waiting, self.has_exported = [], True
            self.due = time.monotonic() + LIVE_SECONDS
        if is_over:
            self.exporter.artifacts.raise_if_incomplete()
            shutil.rmtree(self.folder)
        return is_over

    def close(self) -> None:
        """Leave the log to others, `sync` above all: an exporter that waits for the next log would keep it locked."""
        self.lock.release()
