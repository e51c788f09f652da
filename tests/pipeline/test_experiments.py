"""Experiments: what they run again, what DVC's tables show of them, and several at a time."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from stages.storage.files import rounded
from tests.conftest import ROOT, clean_environment, run
from tests.pipeline.smoke import VARIANTS, mlflow_runs, stages_of, stages_run
from tests.tools.chaos import start

WIDEST = 160  # columns of DVC's tables


def experiments(repository: Path) -> dict[str, dict[str, str]]:
    """Rows of `dvc exp show`, by the experiments' names."""
    table = csv.DictReader(run("dvc", "exp", "show", "--csv", cwd=repository).stdout.splitlines())
    return {row["Experiment"]: row for row in table if row["Experiment"]}


def test_an_experiment_reruns_one_variant_and_the_report_alone(repository: Path, tmp_path: Path) -> None:
    changed = run("dvc", "exp", "run", "--name", "other", "-S", "variants.mlp.batch_size=32", cwd=repository)
    assert stages_run(changed.stdout) == {"check", "report"} | stages_of("mlp")
    check_views(repository)
    at_once = {"seeds": ("training.seeds=[2,3]", "evaluate@mlp"), "beside": ("variants.mlp.batch_size=128",)}
    processes = {
        name: start(
            repository,
            ("dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", name, "-S", *change),
            tmp_path / name,
        )
        for name, change in at_once.items()
    }
    ended = {name: process.wait() for name, process in processes.items()}
    for name, status in ended.items():
        output = (tmp_path / name).read_text()
        assert status == 0, output
        assert stages_run(output) == {"check"} | stages_of("mlp") | ({"report"} if name == "beside" else set())

    rows = experiments(repository)
    assert {"other", *at_once} <= rows.keys()
    assert [rows[name]["variants.mlp.batch_size"] for name in ("other", "beside")] == ["32", "128"]
    assert rows["seeds"]["training.seeds"] == "[2, 3]"
    fids = {name: float(row["metrics/mlp.json:fid"]) for name, row in rows.items()}

    # all are in one store, one run per seed with its artifacts, although the temporary copy is gone
    runs = [run for run in mlflow_runs(repository) if "dvc.exp_name" in run.data.tags]
    found = {(run.data.tags["dvc.exp_name"], run.data.params["seed"]): run.data.metrics["scores/fid"] for run in runs}
    assert len(set(found.values())) == len(runs) == 4
    assert fids["other"] == pytest.approx(found["other", "0"])
    assert fids["beside"] == pytest.approx(found["beside", "0"])
    assert fids["seeds"] == pytest.approx(rounded((found["seeds", "2"] + found["seeds", "3"]) / 2))
    for recorded in runs:
        assert list((repository / "mlartifacts" / recorded.info.run_id).rglob("*.png"))
    assert len(list((repository / "mlartifacts").rglob("generator.safetensors"))) == len(runs)


def experiments_command() -> tuple[str, ...]:
    """What `make experiments` runs, without `dvc`."""
    command = run("make", "--dry-run", "--old-file", ".venv/bin/.installed", "experiments", cwd=ROOT).stdout
    return tuple(shlex.split(command)[2:])


def check_views(repository: Path) -> None:
    """After one changed parameter DVC's tables are short, and show what changed."""
    commands = {
        ("exp", "diff"): ["variants.mlp.batch_size", "fid", "kid"],  # precision and recall stay 0 in this budget
        ("metrics", "diff"): ["fid", "kid"],
        ("metrics", "show"): [*VARIANTS, "test_accuracy", "fid", "kid", "precision", "recall"],
        experiments_command(): ["other", "variants.mlp.batch_size", "fid"],
    }
    dropped = re.compile(experiments_command()[-1])
    kept = ["dataset", "budget", "fetch.folder", "metrics/mlp.json:fid", "validation_fid", "training.precision"]
    files = ["data/fetched", "models/mlp", "stages/networks/mlp.py", "params.yaml", "metrics/report/losses.csv"]
    others = ["metrics/variants", "Created", "metrics/mlp.json:kid", "recall", "variants.mlp.paper"]
    assert [name for name in kept + files + others if not dropped.match(name)] == kept
    for command, shown in commands.items():
        lines = run("dvc", *command, cwd=repository).stdout.rstrip().splitlines()
        assert all(any(word in line for line in lines) for word in shown), command
        assert len(lines) <= 30, command
        assert max(map(len, lines)) <= WIDEST, command


def test_two_queued_experiments_and_two_workers_lose_nothing(repository: Path) -> None:
    run("git", "checkout", "--quiet", ".", cwd=repository)
    run("dvc", "checkout", cwd=repository)
    before = set(experiments(repository))
    run("dvc", "exp", "run", "--queue", "-S", "variants.mlp.critic_steps=2,3", "evaluate@mlp", cwd=repository)
    # not by `run`: a worker keeps its output open, and now and then DVC's does not end though the queue is empty
    start_workers = ("dvc", "queue", "start", "--jobs", "2")
    quiet, environment = subprocess.DEVNULL, clean_environment()
    subprocess.run(start_workers, cwd=repository, env=environment, check=True, stdout=quiet, stderr=quiet)
    try:
        deadline = time.monotonic() + 400
        status = ""
        while len(re.findall("Success|Failed", status)) < 2:
            assert time.monotonic() < deadline, status
            time.sleep(8)  # to ask takes a second of a core
            status = run("dvc", "queue", "status", cwd=repository, check=False).stdout
        assert status.count("Success") == 2, status
    finally:
        run("dvc", "queue", "stop", "--kill", cwd=repository, check=False)
    while list((repository / ".cache/tracking").iterdir()):  # recorded soon after
        assert time.monotonic() < deadline
        time.sleep(0.5)
    rows = [row for name, row in experiments(repository).items() if name not in before]
    fids = {row["variants.mlp.critic_steps"]: float(row["metrics/mlp.json:fid"]) for row in rows}
    assert sorted(fids) == ["2", "3"]
    recorded = {run.data.params["variant.critic_steps"]: run for run in mlflow_runs(repository)[-2:]}
    assert {steps: run.data.metrics["scores/fid"] for steps, run in recorded.items()} == pytest.approx(fids)
    for found in recorded.values():
        assert found.info.status == "FINISHED"
        assert list((repository / "mlartifacts" / found.info.run_id).rglob("*.png"))
