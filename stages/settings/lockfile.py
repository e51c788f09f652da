"""Mend dvc.lock where a kill cut it off: DVC writes it in place.

Git's takes its place. DVC's run-cache remembers what was built since, so that nothing of it runs again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

LOCKFILE = Path("dvc.lock")


def is_whole(text: str) -> bool:
    """Whether text is all that DVC wrote: its own schema, and the last output with all that stands after its path."""
    try:
        lock = COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(text))
    except (YAMLError, Invalid):
        return False
    if not text.endswith("\n"):
        return False
    last = list(lock.get("stages", {}).values())[-1:]
    out = (last[0].get("outs") or [{}])[-1] if last else {}
    return not out or ("size" in out and ("nfiles" in out or not str(out.get("md5")).endswith(".dir")))


def mend() -> bool:
    """Take git's dvc.lock, or none, where a kill cut off the one there; return whether that was so."""
    text = LOCKFILE.read_text(encoding="utf-8", errors="replace") if LOCKFILE.exists() else None
    if text is None or "<<<<<<<" in text or is_whole(text):  # a merge's conflicts are not ours to resolve
        return False
    found = subprocess.run(["git", "show", f"HEAD:./{LOCKFILE}"], capture_output=True, check=False)
    if found.returncode:
        LOCKFILE.unlink()
    else:
        LOCKFILE.write_bytes(found.stdout)
    print("dvc.lock was cut off: git's is back; what was built since comes from DVC's cache", file=sys.stderr)
    return True


if __name__ == "__main__":
    mend()
