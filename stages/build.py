"""Build all variants, one job a core: `dvc repro` of each, then of the report. The bytes are those of one job."""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from joblib import cpu_count

from stages.config.command import refuse_links
from stages.config.errors import StageError
from stages.config.params import Params, load
from stages.storage.paths import (
    CHECKPOINT,
    CLASSES,
    CLASSIFIER,
    CONFIG,
    DISCRIMINATOR,
    GENERATOR,
    METRICS,
    MODELS,
    PICTURES,
    PROCESSED,
    REAL_SCORES,
    REFERENCE,
    SAMPLES,
    SCORES,
    SNAPSHOTS,
    TEMPORARY,
    WEIGHTS,
)

DVC = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro")
CHATTER = (">", "Updating lock file", "Use `dvc push`", "To track the changes", "git add", "To enable auto staging")
OUTPUT_NAMES = {CONFIG, WEIGHTS, GENERATOR, DISCRIMINATOR, SNAPSHOTS, CLASSES, CHECKPOINT, REAL_SCORES.name}
printing = threading.Lock()


def main() -> None:
    """Build; the exit code is 1 where a variant could not be built, and the last line says which."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, help="variants at a time; by default one a GPU, or else one a core")
    jobs, began = parser.parse_args().jobs, time.monotonic()
    try:
        params = load(components=False)
        refuse_links()
        refuse_unknown_files(params.variants)
    except StageError as error:
        parser.exit(error.exit_code, "".join(f"error: {line}\n" for line in str(error).splitlines()))
    devices = find_devices(params)
    jobs = jobs or len(devices) or max(1, cpu_count() // params.threads)
    failed = ["preprocess"] if not repro("preprocess") else build_variants(list(params.variants), jobs, devices)
    if failed:  # the report ranks the others, and has a row for these
        for name in failed:
            (SCORES / f"{name}.json").unlink(missing_ok=True)
        repro("report")
    elif not repro():
        failed = ["report"]
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"build: {len(params.variants)} variants, {jobs} at a time, {minutes} min {seconds} s")
    if failed:
        sys.exit(f"build: failed: {', '.join(failed)}; see above. `make repro` goes on from here")


def refuse_unknown_files(variants: Iterable[str]) -> None:
    """Raise StageError for a repository without git, and for files of the user's own where DVC would remove them.

    DVC removes a stage's outputs before the stage starts, whatever they are.
    """
    if subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, check=False).returncode:
        commands = "git init && git add --all && git commit --message start"
        raise StageError(f"this folder has no git commit, which DVC needs; was it downloaded as an archive? {commands}")
    folders = [*PROCESSED.glob("*"), REFERENCE, CLASSIFIER]
    folders += [folder for name in variants for folder in (MODELS / name, SAMPLES / name, METRICS / name / PICTURES)]
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not is_output(path)]
    if found:
        listed = ", ".join(map(str, found[:10]))
        raise StageError(f"DVC would remove files that are no outputs; move them elsewhere: {listed}")


def is_output(path: Path) -> bool:
    """Whether a file in a folder of outputs may be one of them, by its name."""
    if PICTURES in path.parts:
        return path.suffix in (".png", TEMPORARY)
    return path.name in OUTPUT_NAMES or path.suffix in (".npy", TEMPORARY)


def find_devices(params: Params) -> list[str]:
    """The GPUs that stages would train on, as CUDA_VISIBLE_DEVICES names them."""
    if params.device == "cpu" or not shutil.which("nvidia-smi"):
        return []
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [device for device in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if device]
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout.splitlines()
    return [str(index) for index in range(sum(line.startswith("GPU ") for line in listed))]


def build_variants(names: list[str], jobs: int, devices: list[str]) -> list[str]:
    """Train, sample and score each variant; the names of those that could not be built.

    The classifier and the reference are the first job: variants train meanwhile.
    """
    free: SimpleQueue[str] = SimpleQueue()  # of devices: a job takes one, and puts it back
    for index in range(jobs):
        free.put(devices[index % len(devices)] if devices else "")

    def on_a_device(build: Callable[..., bool], *arguments: Any) -> bool:
        device = free.get()
        try:
            return build(*arguments, device)
        finally:
            free.put(device)

    def build_reference(device: str) -> bool:
        return repro("classifier", "reference", device=device)

    def build_variant(name: str, device: str) -> bool:
        if not reference.done() and not (repro(f"train@{name}", device=device) and reference.result()):
            return False
        return repro(f"train@{name}", f"sample@{name}", f"evaluate@{name}", device=device)

    with ThreadPoolExecutor(jobs) as pool:
        reference = pool.submit(on_a_device, build_reference)
        built = {name: pool.submit(on_a_device, build_variant, name) for name in names}
    if not reference.result():
        return ["reference"]
    return [name for name, done in built.items() if not done.result()]


def repro(*stages: str, device: str = "") -> bool:
    """Run these stages, which are not up to date, or the whole pipeline; print what they say; whether all succeeded."""
    visible = {"CUDA_VISIBLE_DEVICES": device} if device else {}
    single = ("--single-item",) if len(stages) and stages != ("preprocess",) else ()
    command = [*DVC, *single, *stages]
    with subprocess.Popen(
        command, env=os.environ | visible, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            if "is busy, it is being blocked by" in line:
                line = f"another dvc is at work on this repository; wait until it has ended: {line}"
            if line.strip() and not line.lstrip().startswith(CHATTER):
                with printing:
                    print(line, end="", flush=True)
    return process.returncode == 0


if __name__ == "__main__":
    main()
