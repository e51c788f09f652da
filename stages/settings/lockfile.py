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


def mend() -> bool:
    """Take git's dvc.lock where DVC could not read the one there; return whether that was so."""
    try:
        if LOCKFILE.exists():
            COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(LOCKFILE))
    except (YAMLError, Invalid, UnicodeDecodeError):
        subprocess.run(["git", "checkout", "--quiet", "HEAD", "--", str(LOCKFILE)], check=True)
        print("dvc.lock was cut off: git's is back; what was built since comes from DVC's cache", file=sys.stderr)
        return True
    return False


if __name__ == "__main__":
    mend()
