"""Train the same variants again and again while the load of the machine changes, and compare every byte.

`make soak` trains four kinds of variant, fifty times each in the smoke budget and twice in the quick one. Two trainings
run at once, next to programs that come and go. It exits with 1 at the first difference.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import clone_repository, run, set_parameters
from tests.tools.faults import TRAIN, outputs, run_there

KINDS = ("cyclegan", "dcgan", "mlp", "wgan")
BUSY = "while True: pass"
LONGEST = 8.0  # seconds between two changes of the load


@contextlib.contextmanager
def changing_load(most: int, seed: int) -> Iterator[None]:
    """Within it, up to `most` busy programs run; how many changes at random."""
    chance, is_over = random.Random(seed), threading.Event()  # noqa: S311

    def change() -> None:
        busy: list[subprocess.Popen[bytes]] = []
        while not is_over.wait(chance.uniform(0.2, LONGEST)):
            for process in busy:
                process.kill()
                process.wait()
            busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(chance.randint(0, most))]
        for process in busy:
            process.kill()
            process.wait()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def train(clone: Path, folder: Path, budget: str, variant: str) -> dict[str, bytes]:
    """All that a training writes, on the clone's data, in a folder of its own."""
    folder.mkdir(parents=True)
    shutil.copy(clone / "params.yaml", folder)
    set_parameters(folder, {"budget": budget, "tracking.enabled": False})
    (folder / "data/processed").mkdir(parents=True)
    for split in (clone / "data/processed").glob("*"):
        (folder / "data/processed" / split.name).symlink_to(split)
    run_there(folder, *TRAIN[:-1], variant)
    found = outputs(folder)
    shutil.rmtree(folder)
    return found


def compare(found: Mapping[str, bytes], expected: Mapping[str, bytes], name: str) -> None:
    """Exit where a file has other bytes."""
    for path in sorted(found.keys() | expected.keys()):
        if found.get(path) != expected.get(path):
            sys.exit(f"soak: {name}: {path} differs from that of the first training")


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", type=int, default=50, help="trainings of each variant in the smoke budget")
    parser.add_argument("--quick", type=int, default=2, help="in the quick budget")
    parser.add_argument("--load", type=int, default=2, help="busy programs at most")
    parser.add_argument("variants", nargs="*", default=KINDS)
    options = parser.parse_args()
    compared = 0
    with tempfile.TemporaryDirectory() as scratch:
        clone = clone_repository(Path(scratch) / "clone")
        run("dvc", "repro", "preprocess", cwd=clone)
        for budget, count in (("smoke", options.smoke), ("quick", options.quick)):
            with changing_load(options.load, seed=count), ThreadPoolExecutor(2) as pool:
                names = [(variant, number) for number in range(count) for variant in options.variants]
                folders = [Path(scratch) / budget / f"{variant}-{number}" for variant, number in names]
                jobs = [
                    (variant, pool.submit(train, clone, folder, budget, variant))
                    for (variant, _), folder in zip(names, folders, strict=True)
                ]
                first: dict[str, dict[str, bytes]] = {}
                for variant, job in jobs:
                    compare(job.result(), first.setdefault(variant, job.result()), f"{variant}, {budget} budget")
                    compared += 1
            print(f"soak: {budget} budget: {len(jobs)} trainings, the same bytes", flush=True)
    print(f"soak: {compared} trainings of {', '.join(options.variants)} compared under changing load")


if __name__ == "__main__":
    main()
