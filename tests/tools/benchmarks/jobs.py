"""Seconds of a build whose stages do nothing, by the number of jobs: what DVC itself costs, and where it stops scaling.

In a clone each stage's command makes empty outputs, or also sleeps, as a stage on a GPU would, without using a core.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from dvc.repo import Repo
from ruamel.yaml import YAML

from tests.conftest import clone_repository, commit_all, run, set_parameters

JOBS = (2, 4, 8)
EMPTY = "stages/empty.py"  # in the clone: makes what its arguments name, a folder where the name has no ending
SCRIPT = """
import sys, time
from pathlib import Path
time.sleep(float(sys.argv[1]))
for name in sys.argv[2:]:
    path = Path(name) if Path(name).suffix else Path(name) / "empty"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
"""


def empty_clone(target: Path, seconds: float) -> Path:
    """A clone whose trainings, samplings and evaluations take so long, and no more."""
    clone = clone_repository(target)
    (clone / EMPTY).write_text(SCRIPT)
    set_parameters(clone, {"tracking.enabled": False})
    outs = {stage.name.split("@")[0]: [out.def_path for out in stage.outs] for stage in Repo(str(clone)).index.stages}
    yaml = YAML()
    pipeline = yaml.load(clone / "dvc.yaml")
    for name, stage in pipeline["stages"].items():
        entry = stage.get("do", stage)
        last = str(outs[name][0])  # of a `foreach`: those of the last variant
        key = next(
            (
                part
                for part in Path(last).parts
                if part not in ("models", "data", "samples", "metrics", "variants", "training")
            ),
            "",
        )
        of_any = [out.replace(Path(key).stem, "${key}") if "do" in stage else out for out in outs[name]]
        entry["cmd"] = f"python {EMPTY} {seconds if 'do' in stage else 0} {' '.join(of_any)}"
    yaml.dump(pipeline, clone / "dvc.yaml")
    commit_all(clone, "stages that do nothing")
    return clone


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.0, help="how long each stage of a variant sleeps")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        for jobs in JOBS:
            clone = empty_clone(Path(folder) / f"{jobs}", seconds)
            start = time.perf_counter()
            run("python", "-m", "stages.build", "--jobs", str(jobs), cwd=clone)
            print(f"{jobs} jobs: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
