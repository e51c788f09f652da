"""Build one part of the pipeline in a clone on any machine, and push it: what a task of `stages.fan_out` runs.

The part is named by its last stage: reference (with all before it), evaluate@<variant> (with train and sample), or
report.
"""

import argparse
import os
import signal
import threading
from pathlib import Path

from stages.build import SINGLE, repro
from stages.cluster.plan import CHECK, OF_VARIANT, PREPARED, REFERENCE, REPORT, change_parameters
from stages.cluster.results import pull, push, share_cache
from stages.config.errors import StageError, errors_as_lines
from stages.config.params import PARAMS_FILE, load
from stages.storage.files import read_json
from stages.storage.paths import SCORES, VARIANTS

UNTRACKED = "tracking.enabled=false"


def main() -> None:
    """Build and push; the exit code is 1 if a stage failed, or a training diverged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", help="reference, evaluate@<variant> or report")
    parser.add_argument("-S", dest="overrides", action="append", default=[], help="set a key of params.yaml: key=value")
    parser.add_argument("--cache", type=Path, help="DVC cache that clones on this machine share")
    parser.add_argument("--watched", action="store_true", help="kill the whole process group when stdin ends")
    options = parser.parse_args()
    if options.watched:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    with errors_as_lines():
        if options.cache:
            share_cache(options.cache)
        change_parameters(PARAMS_FILE, options.overrides)
        build(SINGLE, "--pull", CHECK)
        push([CHECK])  # with the parameters that it has at home
        if options.stage != REPORT and not is_tracked_elsewhere():  # no stage but the report depends on it
            change_parameters(PARAMS_FILE, [UNTRACKED])
        if options.stage == REFERENCE:
            build("--pull", REFERENCE)
            push(PREPARED)
        elif options.stage == REPORT:
            build_report()
        else:
            build_variant(options.stage.removeprefix("evaluate@"))


def build_variant(name: str) -> None:
    """Train, sample and score; raises StageError if that fails, or if all trainings diverged."""
    pull(PREPARED[1:])
    train, *others = (f"{stage}@{name}" for stage in OF_VARIANT)
    build(SINGLE, "--pull", train)
    push([train])  # may be hours of work
    build(SINGLE, "--pull", *others)
    push(others)
    scores = read_json(VARIANTS / name / SCORES)
    if not scores["models"]:
        raise StageError("\n".join(scores["failures"]))


def build_report() -> None:
    """Report on all variants, whose outputs the remote has; raises StageError where that fails."""
    names = load(components=False).variants
    pull([*PREPARED[1:], *(f"{stage}@{name}" for stage in OF_VARIANT for name in names)])
    build(SINGLE, "--pull", REPORT)
    push([REPORT])


def build(*arguments: str) -> None:
    """`dvc repro` with these arguments; raises StageError where it fails."""
    if not repro(*arguments).succeeded:
        raise StageError(f"dvc repro {' '.join(arguments)} failed")


def is_tracked_elsewhere() -> bool:
    """Whether MLflow's store outlives this clone."""
    return not (os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:").startswith("sqlite:")


def end_with_stdin() -> None:
    """Wait until stdin ends, then kill this process and its group: the process that wants the result is gone."""
    while os.read(0, 1):  # not sys.stdin: its lock would be held when Python ends
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
