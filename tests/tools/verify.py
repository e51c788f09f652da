"""Build twice, in two fresh clones of HEAD, and compare every byte.

One variant in the quick budget, with what it needs, then all variants in the smoke budget. Exits with 1 at the first
difference: stage, file, tensor.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.conftest import clone_repository, run
from tests.tools.rebuilds import differences, hashes, smoke_clone


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", nargs="?", default="mlp", help="of the quick budget")
    variant = parser.parse_args().variant
    with tempfile.TemporaryDirectory() as folder:
        quick = [clone_repository(Path(folder) / f"quick-{number}") for number in (1, 2)]
        smoke = [smoke_clone(Path(folder) / f"smoke-{number}") for number in (1, 2)]
        for what, clones, command in (
            (f"{variant}, quick budget", quick, ("dvc", "repro", f"evaluate@{variant}")),
            ("all variants, smoke budget", smoke, ("dvc", "repro")),
        ):
            for clone in clones:
                run(*command, cwd=clone)
            for difference in differences(*clones):
                sys.exit(f"verify: {what}: the second build differs: {difference}")
            print(f"verify: {what}: {len(hashes(clones[0]))} files, the same bytes twice", flush=True)


if __name__ == "__main__":
    main()
