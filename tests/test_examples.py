"""The sweep and the study of docs/compare.md, run with real DVC in the smoke budget."""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from pathlib import Path

import optuna
import pytest
from ruamel.yaml import YAML

from tests.conftest import FEW_IMAGES, ROOT, clone_repository, commit_all, run, set_parameters
from tests.datasets.pictures import write_pictures

FEWER = FEW_IMAGES | {
    "tracking.enabled": False,
    "variants.dcgan.images.smoke": 640,
}
SCORES = "metrics/variants/dcgan/scores.json"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in the smoke budget with few images and dcgan alone, built and committed."""
    clone = clone_repository(tmp_path_factory.mktemp("examples") / "reprogan")
    write_pictures(clone.parent / "pictures", cats=60, dogs=60)
    dcgan = YAML().load(clone / "params.yaml")["variants"]["dcgan"]
    set_parameters(clone, {"variants": {"dcgan": dcgan}, "fetch.folder": str(clone.parent / "pictures")} | FEWER)
    commit_all(clone, "smoke budget, one variant")
    run("dvc", "repro", "evaluate@dcgan", cwd=clone)
    commit_all(clone, "built")
    return clone


def experiments(repository: Path) -> set[str]:
    return set(run("dvc", "exp", "list", "--name-only", cwd=repository).stdout.split())


def read(repository: Path, experiment: str, file: str) -> str:
    """A file as an experiment has committed it."""
    found = run("git", "for-each-ref", "--format=%(refname)", "refs/exps", cwd=repository).stdout.split()
    (ref,) = [ref for ref in found if ref.endswith(f"/{experiment}")]
    return run("git", "show", f"{ref}:{file}", cwd=repository).stdout


def score_of(repository: Path, experiment: str, score: str) -> float:
    """The value of a score of an experiment."""
    value: float = json.loads(read(repository, experiment, SCORES))["models"][0]["scores"][score]["value"]
    return value


def state(repository: Path) -> tuple[str, str, str]:
    """What git and DVC say of the working tree, and where it is."""
    commands = (("git", "status", "--short"), ("dvc", "status"), ("git", "rev-parse", "HEAD", "--abbrev-ref", "HEAD"))
    first, second, third = (run(*command, cwd=repository).stdout for command in commands)
    return first, second, third


def test_the_loop_goes_on_after_a_failure_and_leaves_the_working_tree(repository: Path) -> None:
    section = (ROOT / "docs/compare.md").read_text().split("## Run a sweep")[1]
    (loop,) = re.findall(r"```sh\n(for .*?done\n)", section, re.DOTALL)
    before = state(repository)
    loop = loop.replace("32 64 128", "many 32")  # the time of two
    output = run("bash", "-c", loop, cwd=repository)
    assert output.stdout.count(" failed\n") == 1
    assert "batch-many failed" in output.stdout
    assert "variants.dcgan.batch_size: 'many' is not allowed" in output.stdout + output.stderr
    assert experiments(repository) == {"batch-32"}
    committed = json.loads((repository / "metrics/dcgan.json").read_text())
    assert score_of(repository, "batch-32", "fid") != committed["fid"]
    assert state(repository) == before
    show = run("make", "--dry-run", "--old-file", ".venv/bin/.installed", "experiments", cwd=ROOT).stdout
    table = run(*shlex.split(show)[1:], cwd=repository).stdout
    assert re.search(r"batch-32\] .* 32 ", table)


def test_the_study_tries_values_resumes_and_leaves_the_working_tree(repository: Path) -> None:
    command = (sys.executable, "docs/examples/optuna_study.py", "dcgan", "--trials", "1", "--budget", "smoke")
    before = state(repository)
    typo = run(*command[:2], "dgcan", cwd=repository, check=False)
    assert typo.returncode == 2
    assert "invalid choice: 'dgcan'" in typo.stderr
    assert "Traceback" not in typo.stderr
    assert not (repository / ".cache/optuna.db").exists()
    for _ in range(2):  # a second call goes on
        output = run(*command, cwd=repository).stdout
    study = optuna.load_study(study_name="tune-dcgan-smoke", storage=f"sqlite:///{repository / '.cache/optuna.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]
    assert study.trials[0].params != study.trials[1].params
    for trial in study.trials:
        name = f"tune-dcgan-smoke-{trial.number}"
        assert trial.value == score_of(repository, name, "validation_fid")
        assert trial.value is not None
        assert 0 < trial.value < math.inf
        variant = YAML(typ="safe").load(read(repository, name, "params.yaml"))["variants"]["dcgan"]
        assert variant["regularizer"]["weight"] == pytest.approx(trial.params["weight"])
        assert variant["optimizers"]["generator"]["learning_rate"] == pytest.approx(trial.params["generator"])
    assert f"best: tune-dcgan-smoke-{study.best_trial.number}: FID to validation images" in output
    assert state(repository) == before


def test_a_trial_that_fails_does_not_end_the_study(repository: Path) -> None:
    """The names of the trials are taken: a study of another machine's experiments, say."""
    (repository / ".cache/optuna.db").unlink()
    command = (sys.executable, "docs/examples/optuna_study.py", "dcgan", "--trials", "2", "--budget", "smoke")
    output = run(*command, cwd=repository)
    assert "best:" not in output.stdout
    study = optuna.load_study(study_name="tune-dcgan-smoke", storage=f"sqlite:///{repository / '.cache/optuna.db'}")
    assert [trial.state.name for trial in study.trials] == ["FAIL", "FAIL"]
