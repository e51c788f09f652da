"""Build all variants in parallel: `dvc repro` of each, then of the report. The bytes are those of one job."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from itertools import takewhile
from queue import SimpleQueue
from typing import Any, NamedTuple

from joblib import cpu_count

from stages.check import refuse_unknown_files
from stages.config.command import refuse_links, replace_what_cannot_be_shown
from stages.config.errors import StageError, errors_as_lines
from stages.config.params import Params, load
from stages.datasets.dataset import find_dataset
from stages.storage import paths
from stages.storage.files import read_json

SINGLE = "--single-item"  # without the stages that these depend on
DVC = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro")
CHATTER = re.compile(
    r"\s*(>|Updating lock|Use `dvc push`|To (track|enable)|git add|dvc config|Stage .* didn't change|$"
    r"|Pulling data for|Unable to pull data for|WARNING: Some of the cache files|(name: .*, )?md5: \w+(\.dir)?$"
    r"|Data and pipelines are up to date|WARNING: Process .* in RWLock-file .* had been killed)"
)
UTF_8 = {"PYTHONIOENCODING": "utf-8"}  # for output that is read here, whatever the terminal's encoding
OF_NO_VARIANT = {"check", "report"}  # no variant's stage reads what they write, or it never changes
OF_ALL = {"fetch", "preprocess", "reference"}  # if one of them fails, nothing else is built
printing = threading.Lock()


class Built(NamedTuple):
    """How `dvc repro` ended."""

    succeeded: bool
    ran: bool = False  # whether any stage ran; DVC may also have taken all outputs from the cache


def main() -> None:
    """Build; the exit code is 1 if a variant could not be built, and the last line names it."""
    replace_what_cannot_be_shown()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, help="variants built at once (default: one per GPU, else one per core)")
    jobs, began = parser.parse_args().jobs, time.monotonic()
    if jobs is not None and jobs < 1:
        parser.error(f"--jobs: {jobs} is not allowed: expected at least 1")
    with errors_as_lines():
        params = load(components=False)
        refuse_links()
        refuse_without_git()
        refuse_unknown_files(params.variants)
        is_stale = find_dataset(params.dataset).has_changed(params.fetch)
        devices = find_devices(params)
        jobs = jobs or len(devices) or max(1, cpu_count() // (params.threads * params.processes))
        failed = build(list(params.variants), jobs, devices, is_stale=is_stale)
    is_tracked = params.tracking.enabled and not OF_ALL & set(failed)
    if is_tracked:  # DVC runs no stage whose outputs exist already, so nothing else records those
        subprocess.run([sys.executable, "-m", "stages.tracking.restore"], check=False)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"build: {len(params.variants)} variants, {jobs} at a time: {minutes} min {seconds} s")
    if (paths.REPORT / paths.PAGE).exists() and not {*OF_ALL, "report"} & set(failed):
        mlflow = "where MLFLOW_TRACKING_URI says" if os.environ.get("MLFLOW_TRACKING_URI") else "`make ui`"
        print(f"build: the report is {paths.REPORT / paths.PAGE}{f'; MLflow is {mlflow}' if is_tracked else ''}")
    if failed:
        sys.exit(f"build: failed: {', '.join(failed)}; see above. `make repro` goes on where it can")


def build(variants: list[str], jobs: int, devices: list[str], *, is_stale: bool = False) -> list[str]:
    """Build all stages; return what could not be built: a stage that all need, variants, or the report.

    `is_stale`: whether the raw data differ from their source. DVC cannot see this for a folder of images.
    """
    if is_stale and not repro(SINGLE, "--force", "check", "fetch").succeeded:
        return ["fetch"]
    changed = find_changed()
    if changed == set():
        return []
    if not repro("preprocess").succeeded:
        return ["preprocess"]
    is_compared, failed = build_variants(variants, jobs, devices, changed)
    if not is_compared:
        return ["reference"]
    if not failed:
        return [] if repro().succeeded else find_diverged(variants) or ["report"]
    for name in failed:  # scores of an earlier build are not theirs; the report ranks the others
        (paths.VARIANTS / name / paths.SCORES).unlink(missing_ok=True)
        (paths.METRICS / f"{name}.json").unlink(missing_ok=True)
    repro(SINGLE, "report")
    return failed


def refuse_without_git() -> None:
    """Raise StageError without git or a commit."""
    if not shutil.which("git"):
        raise StageError("git is not installed, and DVC needs it")
    if subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, check=False).returncode:
        commands = "git init && git add --all && git commit --message start"
        raise StageError(f"this folder has no git commit, which DVC needs; was it downloaded as an archive? {commands}")


def find_devices(params: Params) -> list[str]:
    """The GPUs of each job, as CUDA_VISIBLE_DEVICES names them: one per process."""
    if params.device == "cpu" or not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout.splitlines()
    found = [str(index) for index in range(sum(line.startswith("GPU ") for line in listed))]
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        listed = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
        found = [device for device in takewhile(lambda device: not device.startswith("-"), listed) if device]  # as CUDA
    each = params.processes
    return [",".join(found[first : first + each]) for first in range(0, len(found) - each + 1, each)]


def find_diverged(variants: Iterable[str]) -> list[str]:
    """The variants whose trainings all diverged: the report says so, and its stage ends with an error."""
    files = {name: paths.VARIANTS / name / paths.SCORES for name in variants}
    return [name for name, file in files.items() if file.exists() and not read_json(file)["models"]]


def find_changed() -> set[str] | None:
    """The stages that DVC would run, without those that only their new outputs would change; None if it cannot tell."""
    dry = subprocess.run([*DVC, "--dry"], env=os.environ | UTF_8, capture_output=True, encoding="utf-8", check=False)
    return None if dry.returncode else set(re.findall(r"^Running stage '(.*)'", dry.stdout, re.MULTILINE))


def build_variants(names: list[str], jobs: int, devices: list[str], changed: set[str] | None) -> tuple[bool, list[str]]:
    """Train, sample and score each variant; return whether there is a reference, and which variants failed.

    The classifier and the reference are the first job; variants train meanwhile. DVC takes seconds to check a variant,
    so it checks only those that have `changed`, or all if something that they share has changed.
    """
    is_shared = changed is None or any("@" not in stage for stage in changed - OF_NO_VARIANT)
    stale = [name for name in names if is_shared or any(stage.endswith(f"@{name}") for stage in changed or ())]
    free: SimpleQueue[str] = SimpleQueue()  # devices: a job takes one, and puts it back
    for index in range(jobs):
        free.put(devices[index % len(devices)] if devices else "")

    def on_a_device(job: Callable[..., Built], *arguments: Any) -> Built:
        device = free.get()
        try:
            return job(*arguments, device=device)
        finally:
            free.put(device)

    pool = ThreadPoolExecutor(jobs)
    failed = []
    try:
        reference = pool.submit(on_a_device, repro, SINGLE, "classifier", "reference")
        building = {pool.submit(on_a_device, build_variant, name, reference): name for name in stale}
        building |= {pool.submit(Built, succeeded=True): name for name in names if name not in stale}
        for count, done in enumerate(as_completed(building), start=1):
            name, built = building[done], done.result()
            state = "failed" if not built.succeeded else "built" if built.ran else "up to date"
            with printing:
                print(f"build: {name}: {state} ({count} of {len(names)})", flush=True)
            if not built.succeeded:
                failed.append(name)
        return reference.result().succeeded, [name for name in names if name in failed]
    finally:  # after Ctrl-C no other variant begins
        pool.shutdown(cancel_futures=True)


def build_variant(name: str, reference: Future[Built], device: str) -> Built:
    """Train, sample and score a variant. Training may begin before there is a reference; scoring waits for it."""
    trained = Built(succeeded=True) if reference.done() else repro(SINGLE, f"train@{name}", device=device)
    if not trained.succeeded or not reference.result().succeeded:
        return Built(succeeded=False)
    scored = repro(SINGLE, f"train@{name}", f"sample@{name}", f"evaluate@{name}", device=device)
    return Built(scored.succeeded, trained.ran or scored.ran)


def repro(*arguments: str, device: str = "") -> Built:
    """`dvc repro` with these arguments, without its chatter."""
    ran = False
    variables = os.environ | UTF_8 | ({"CUDA_VISIBLE_DEVICES": device} if device else {})
    command = [*DVC, *arguments]
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    ) as process:
        for line in process.stdout or ():
            ran |= line.startswith("Running stage ")
            if "is busy, it is being blocked by" in line:
                line = f"another dvc is at work on this repository; wait until it has ended: {line}"
            if not CHATTER.match(line):
                with printing:
                    print(line, end="", flush=True)
    return Built(process.returncode == 0, ran)


if __name__ == "__main__":
    main()
