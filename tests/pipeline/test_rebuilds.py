"""Other builds of the same commit come to the same bytes: killed again and again, and two variants at a time."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

from ruamel.yaml import YAML

from tests.conftest import run, set_parameter, set_parameters
from tests.pipeline.smoke import BEFORE, stages_of, stages_run
from tests.tools.chaos import start, torment
from tests.tools.rebuilds import hashes


def test_a_build_that_is_killed_again_and_again_ends_with_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    """A short form of `make chaos`: SIGKILL to all of `dvc repro`, at random and in a training that has a state."""
    run("git", "clone", "--quiet", str(repository), "tormented", cwd=tmp_path)
    tormented = tmp_path / "tormented"
    run("git", "checkout", "--quiet", "HEAD~1", cwd=tormented)  # before it was built
    command = ("dvc", "repro", "classifier", "train@mlp")
    killed = torment(tormented, kills=3, longest=10, seed=0, log=tmp_path / "log", command=command)
    assert killed.at_random == 3
    assert killed.in_training == 1
    stages = [YAML(typ="safe").load(folder / "dvc.lock")["stages"] for folder in (repository, tormented)]
    built = {"fetch", "preprocess", "classifier", "train@mlp"}
    assert {stage: stages[1][stage] for stage in built} == {stage: stages[0][stage] for stage in built}
    outs = [out["path"] for stage in built for out in stages[0][stage]["outs"]]
    assert count_same_files(repository, tormented, outs) > 12


def test_two_jobs_build_the_same_bytes_and_name_what_failed(repository: Path, tmp_path: Path) -> None:
    run("git", "clone", "--quiet", str(repository), "jobs", cwd=tmp_path)
    clone = tmp_path / "jobs"
    run("git", "checkout", "--quiet", "HEAD~1", cwd=clone)  # before it was built
    every = YAML().load(clone / "params.yaml")["variants"]
    names = ("cgan", "mlp")
    set_parameters(clone, {"variants": {name: every[name] for name in names}, "tracking.enabled": False})
    (clone / ".venv").symlink_to(Path(sys.executable).parents[1])
    take_first_stages(repository, clone)
    output = run("make", "--old-file", ".venv/bin/.installed", "repro", "JOBS=2", cwd=clone).stdout
    assert stages_run(output) == stages_of(*names) | {"report"}
    # both trainings had begun before either variant was scored
    assert max(output.index(f"'train@{name}'") for name in names) < output.index("'evaluate@")
    assert "build: 2 variants, 2 at a time" in output
    assert sorted(re.findall(r"build: (\w+): built \((\d) of 2\)", output), key=lambda line: line[1]) in (
        [("cgan", "1"), ("mlp", "2")],
        [("mlp", "1"), ("cgan", "2")],
    )
    assert stages_run(run("dvc", "repro", cwd=clone).stdout) == set()
    # DVC is asked once whether anything changed, and then for what has, and no other variant
    watched = "import stages.build as b; r = b.repro; b.repro = lambda *a, **k: print(a) or r(*a, **k)"
    watch = ("python", "-c", f"{watched}; print(b.build(['cgan', 'mlp'], 2, []))")
    assert run(*watch, cwd=clone).stdout == "[]\n"
    (clone / "models/mlp/generator.safetensors").unlink()
    again = run(*watch, cwd=clone).stdout
    asked = " ".join(re.findall(r"^\(.*", again, re.MULTILINE))
    assert re.findall(r"@(\w+)", asked) == ["mlp"] * 4  # train, and once there is a reference all three
    assert sorted(re.findall(r"build: (\w+): up to date", again)) == sorted(names)  # from the cache
    assert (clone / "models/mlp/generator.safetensors").exists()
    outputs = ("models", "data/samples", "metrics/variants", "metrics/training")
    folders = [f"{folder}/{name}" for folder in outputs for name in names]
    assert count_same_files(repository, clone, folders) > 20
    # a variant that fails costs no other variant anything
    broken = clone / "stages/networks/progan.py"
    broken.write_text(broken.read_text() + "raise RuntimeError('half an edit')\n")
    every["mlp"]["batch_size"] = 32
    set_parameter(clone, "variants", {name: every[name] for name in ("progan", *names)})
    (clone / "metrics/progan.json").write_text("{}")  # of an earlier build
    # a terminal that takes no ±
    command = ("make", "--old-file", ".venv/bin/.installed", "repro")
    failed = run(*command, cwd=clone, check=False, PYTHONIOENCODING="ascii")
    assert not (clone / "metrics/progan.json").exists()
    assert failed.returncode != 0
    assert stages_run(failed.stdout) == {"check", "train@progan", "report"} | stages_of("mlp")  # of the others
    assert "error: no scores: progan was not built" in failed.stdout
    assert "build: failed: progan; see above" in failed.stderr
    states = dict(re.findall(r"build: (\w+): (.*) \(\d of 3\)", failed.stdout))
    assert states == {"progan": "failed", "mlp": "built", "cgan": "up to date"}
    assert "stages/networks/progan.py: RuntimeError('half an edit')" in failed.stdout
    # Ctrl-C ends it all: what waits for its turn does not begin
    set_parameter(clone, "variants", {name: every[name] for name in names})
    for name in names:
        set_parameter(clone, f"variants.{name}.images.smoke", 10**6)
    log = tmp_path / "interrupted"
    process = start(clone, ("python", "-m", "stages.build", "--jobs", "1"), log)
    while process.poll() is None and "'train@" not in log.read_text():
        time.sleep(0.1)
    time.sleep(5)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert len(re.findall("Running stage 'train@", log.read_text())) == 1


def take_first_stages(built: Path, clone: Path) -> None:
    """The outputs of fetch to reference as DVC would have them here, to save their time."""
    stages = YAML(typ="safe").load(built / "dvc.lock")["stages"]
    for out in [Path(out["path"]) for name in BEFORE for out in stages[name]["outs"]]:
        (clone / out).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (built / out).is_dir() else shutil.copyfile)(built / out, clone / out)
    run("dvc", "commit", "--force", "--quiet", *sorted(BEFORE), cwd=clone)


def count_same_files(expected: Path, found: Path, paths: list[str]) -> int:
    """How many files are at or below these paths; fails where one has other bytes in the two folders."""
    files = [hashes(folder) for folder in (expected, found)]
    compared = {path for path in files[0] if any(path == out or path.startswith(f"{out}/") for out in paths)}
    assert {path: files[1].get(path) for path in compared} == {path: files[0][path] for path in compared}
    return len(compared)
