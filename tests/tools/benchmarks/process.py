"""Memory of the process, in MiB, and its age in seconds, as Linux counts them; processes of their own."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def peak() -> float:
    """The most that this process has held since it began, or since `forget_peak`."""
    return _read("VmHWM")


def forget_peak() -> float:
    """Give back what is free, let `peak` begin anew, and return what is held now."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _read("VmRSS")


def age() -> float:
    """Seconds since this process was started: before Python, before any import."""
    started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def run_apart(module: str, *arguments: object) -> Any:
    """What `python -m module arguments…` prints as JSON in its last line: a warm process would reuse its memory."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def _read(key: str) -> float:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024
