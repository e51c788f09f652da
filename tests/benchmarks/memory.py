"""Memory of this process, in MiB, as Linux counts it."""

from __future__ import annotations

import re
from pathlib import Path


def peak() -> float:
    """The most that this process has held since it began, or since `forget_peak`."""
    return _read("VmHWM")


def resident() -> float:
    """What this process holds now."""
    return _read("VmRSS")


def forget_peak() -> None:
    """Let `peak` begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def _read(key: str) -> float:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024
