"""Memory of this process, in MiB, as Linux counts it."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path


def peak() -> float:
    """The most that this process has held since it began, or since `forget_peak`."""
    return _read("VmHWM")


def forget_peak() -> float:
    """Give back what is free, let `peak` begin anew, and return what is held now."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _read("VmRSS")


def _read(key: str) -> float:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024
