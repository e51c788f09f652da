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
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.conftest import clean_environment, run
from tests.tools.rebuilds import differences, hashes, smoke_clone


def start(repository: Path, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A command as the leader of a process group."""
    with log.open("ab") as output:
        variables = clean_environment()
        return subprocess.Popen(
            command,
            cwd=repository,
            stdout=output,
            stderr=output,
            env=variables,
            start_new_session=True,
            # a shell's background jobs ignore SIGINT, and what they start inherits that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def checkpoints(repository: Path) -> set[Path]:
    """Checkpoints of trainings, under <variant>/<key>/."""
    return set((repository / ".cache/resume").glob("*/*/*.safetensors"))


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the whole group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def repair_lock(repository: Path) -> bool:
    """Repair a dvc.lock that was cut off, as `make repro` does; return whether it was."""
    return "git's is back" in run("make", "repair", cwd=repository).stderr


class Torment(NamedTuple):
    """How often a build was killed: at random, and in trainings that had a state; how often that cut dvc.lock off."""

    at_random: int
    in_training: int
    repaired: int


def torment(
    repository: Path, kills: int, longest: float, seed: int, log: Path, command: Sequence[str] = ("dvc", "repro")
) -> Torment:
    """Build, killed so often at random moments, and each training once it has a state; exits where a build fails."""
    chance = random.Random(seed)  # noqa: S311
    at_random = repaired = 0
    met: set[str] = set()  # variants that were killed in training
    while True:
        before = checkpoints(repository)
        process = start(repository, command, log)
        try:
            deadline = time.monotonic() + chance.uniform(0.5, longest)
            while process.poll() is None:
                if new := {path.parents[1].name for path in checkpoints(repository) - before} - met:
                    met |= new
                    break
                if at_random < kills and time.monotonic() > deadline:
                    at_random += 1
                    break
                time.sleep(0.02)
            else:
                if process.returncode:
                    sys.exit(f"{' '.join(command)} failed after {at_random + len(met)} kills: see {log}")
                return Torment(at_random, len(met), repaired)
        finally:
            if process.poll() is None:
                kill(process)
        repaired += repair_lock(repository)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="at random moments; one in each training comes on top")
    parser.add_argument("--longest", type=float, default=30, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("variants", nargs="*", help="all, unless some are named")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        calm, tormented = (smoke_clone(Path(folder) / name, options.variants) for name in ("calm", "tormented"))
        run("dvc", "repro", cwd=calm)
        log = Path(folder) / "tormented.log"
        killed = torment(tormented, options.kills, options.longest, options.seed, log)
        differing = list(differences(calm, tormented))
        count = len(hashes(calm))
        trainings = len(list((calm / "models").glob("*/generator.safetensors")))
    print(
        f"chaos: {killed.at_random} kills at random and {killed.in_training} in trainings that had a state on disk; "
        f"{killed.repaired} cut dvc.lock off; {count} files compared with those of an undisturbed build"
    )
    if killed.at_random < options.kills or killed.in_training < trainings:
        sys.exit(f"chaos: too few kills: expected {options.kills} at random and {trainings} in trainings")
    if differing:
        sys.exit(f"chaos: {len(differing)} differ: {', '.join(differing[:20])}")
    print("chaos: the same bytes in all")


if __name__ == "__main__":
    main()
