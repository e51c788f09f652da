"""What runs again after a change of code or of params.yaml, and what comes from the cache."""

from __future__ import annotations

import csv
import re
import shutil
import textwrap
import time
from pathlib import Path

from ruamel.yaml import YAML

from tests.conftest import run, set_parameter
from tests.pipeline.smoke import VARIANTS, mlflow_runs, scores_of, stages_of, stages_run
from tests.tools.chaos import checkpoints, start


def test_code_that_changes_while_it_runs_is_not_recorded(repository: Path, tmp_path: Path) -> None:
    set_parameter(repository, "variants.mlp.images.smoke", 60000)
    run("dvc", "repro", "check", cwd=repository)
    lock = (repository / "dvc.lock").read_bytes()
    process = start(repository, ("dvc", "repro", "train@mlp"), tmp_path / "log")
    while process.poll() is None and not any(path.parents[1].name == "mlp" for path in checkpoints(repository)):
        time.sleep(0.02)
    code = repository / "stages/training/ema.py"
    code.write_text(code.read_text() + "\n# a thought\n")
    assert process.wait() != 0
    told = (tmp_path / "log").read_text()
    assert "error: stages/training/ema.py changed while the stage ran: its outputs do not count, run it again" in told
    assert "Traceback" not in told
    assert (repository / "dvc.lock").read_bytes() == lock


def test_going_back_restores_from_the_cache(repository: Path) -> None:
    run("git", "checkout", "--quiet", ".", cwd=repository)
    shutil.rmtree(repository / "models/mlp", ignore_errors=True)
    shutil.rmtree(repository / "data/samples/mlp")
    output = run("dvc", "repro", cwd=repository).stdout
    assert stages_run(output) == set()
    assert (repository / "models/mlp/generator.safetensors").exists()
    assert (repository / "data/samples/mlp/images.npy").exists()
    assert run("git", "status", "--short", cwd=repository).stdout == ""


def test_an_edited_network_reruns_its_users_alone(repository: Path) -> None:
    network = repository / "stages/networks/mlp.py"
    network.write_text(network.read_text() + "\n# a comment changes no byte of what is learned\n")
    output = run("dvc", "repro", cwd=repository).stdout
    users = {f"{stage}@{variant}" for stage in ("train", "sample") for variant in ("cgan", "mlp")}
    assert stages_run(output) == {"check"} | users  # the same models and samples again: nothing is left to score


def test_a_variant_is_yaml_alone(repository: Path) -> None:
    """The entry that docs/add-a-variant.md shows, added to params.yaml and to nothing else."""
    run("git", "checkout", "--quiet", ".", cwd=repository)
    (entry,) = re.findall(r"```yaml\n(.*?)```", (repository / "docs/add-a-variant.md").read_text(), flags=re.DOTALL)
    (name,) = YAML().load(entry)
    params = repository / "params.yaml"
    run("dvc", "checkout", cwd=repository)
    params.write_text(params.read_text() + textwrap.indent(textwrap.dedent(entry), "  "))
    output = run("dvc", "repro", cwd=repository).stdout
    assert stages_run(output) == {"check", "report"} | stages_of(name)
    assert f"| `{name}` |" in (repository / "metrics/report/variants.md").read_text()
    scores = scores_of(repository, name)
    classification = scores["classification_accuracy"]
    assert 0 < classification["value"] < classification["real"] < 1
    assert 0 < classification["value"] < scores["augmented_accuracy"]["value"] < 1
    with (repository / "metrics/summary.csv").open() as file:
        assert sorted(row["variant"] for row in csv.DictReader(file)) == sorted([*VARIANTS, name])
    assert name in {found.info.run_name for found in mlflow_runs(repository)}
