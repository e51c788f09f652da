"""Kill the whole `dvc repro` at random moments, again and again; it must end with the bytes of an undisturbed build.

In the smoke budget, in clones of HEAD. `make chaos` prints a summary and exits with 1 where a byte differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tests.conftest import clean_environment, run
from tests.rebuilds import differences, hashes, smoke_clone


def start(repository: Path, log: Path) -> subprocess.Popen[bytes]:
    """`dvc repro` as the leader of a process group."""
    with log.open("ab") as output:
        variables = clean_environment()
        return subprocess.Popen(
            ["dvc", "repro"], cwd=repository, stdout=output, stderr=output, env=variables, start_new_session=True
        )


def checkpoints(repository: Path) -> set[str]:
    """Variants that have a state on disk."""
    return {path.parents[1].name for path in (repository / ".cache/resume").glob("*/*/*.safetensors")}


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the whole group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def mend_lock(repository: Path) -> bool:
    """DVC writes dvc.lock in place: of one that was cut off, take git's back. The run-cache knows what was built."""
    try:
        YAML(typ="safe").load(repository / "dvc.lock")
    except YAMLError:
        run("git", "checkout", "--quiet", "dvc.lock", cwd=repository)
        return True
    return False


def torment(repository: Path, kills: int, longest: float, seed: int, log: Path) -> tuple[int, int, int]:
    """Kill at random moments, and each training once it has a state; return kills, those in trainings, locks mended."""
    chance = random.Random(seed)  # noqa: S311
    done = in_training = mended = 0
    met: set[str] = set()
    while True:
        process = start(repository, log)
        deadline = time.monotonic() + chance.uniform(0.5, longest)
        while process.poll() is None:
            if new := checkpoints(repository) - met:
                met |= new
                in_training += 1
                break
            if done < kills and time.monotonic() > deadline:
                break
            time.sleep(0.02)
        if process.poll() is not None:
            if process.returncode:
                sys.exit(f"dvc repro failed after {done} kills: see {log}")
            return done, in_training, mended
        kill(process)
        done += 1
        mended += mend_lock(repository)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="at least so many")
    parser.add_argument("--longest", type=float, default=30, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("variants", nargs="*", help="all, unless some are named")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        calm, tormented = (smoke_clone(Path(folder) / name, options.variants) for name in ("calm", "tormented"))
        run("dvc", "repro", cwd=calm)
        log = Path(folder) / "tormented.log"
        done, in_training, mended = torment(tormented, options.kills, options.longest, options.seed, log)
        differing = list(differences(calm, tormented))
        count = len(hashes(calm))
    print(
        f"chaos: {done} kills, {in_training} of them in trainings that had a state on disk, {mended} cut dvc.lock off; "
        f"{count} files compared with those of an undisturbed build"
    )
    if differing:
        sys.exit(f"chaos: {len(differing)} differ: {', '.join(differing[:20])}")
    print("chaos: the same bytes in all")


if __name__ == "__main__":
    main()
