"""Tasks of a fan-out: which experiments share, which must not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from stages.cluster.plan import make_plan, sweep
from stages.cluster.worker import Task
from stages.config.errors import ParameterError
from stages.config.params import load
from tests.conftest import ROOT, clone_repository, run

VARIANTS = list(load(ROOT / "params.yaml", components=False).variants)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone_repository(tmp_path_factory.mktemp("plan") / "clone")


def plan(clone: Path, *overrides: str, variants: Sequence[str] = ()) -> list[Task]:
    tasks, _ = make_plan(clone, variants, overrides)
    assert run("git", "status", "--short", cwd=clone).stdout == ""  # it was left as it was
    for number, task in enumerate(tasks):
        assert all(needed < number for needed in task["needs"])
    return tasks


def test_all_variants_wait_for_the_reference_and_the_report_for_all(clone: Path) -> None:
    tasks = plan(clone)
    assert [task["name"] for task in tasks] == ["reference", *VARIANTS, "report"]
    assert [task["needs"] for task in tasks] == [[], *[[0]] * len(VARIANTS), list(range(len(VARIANTS) + 1))]


def test_named_variants_have_no_report(clone: Path) -> None:
    assert [task["stage"] for task in plan(clone, variants=["mlp"])] == ["reference", "evaluate@mlp"]


def test_experiments_share_what_does_not_differ(clone: Path) -> None:
    tasks = plan(clone, "variants.mlp.batch_size=32,64", "budget=smoke")
    names = [task["name"] for task in tasks]
    assert [name for name in names if name.startswith("mlp batch")] == ["mlp batch_size=32", "mlp batch_size=64"]
    assert names.count("reference") == names.count("dcgan") == 1
    assert names[-2:] == ["report batch_size=32", "report batch_size=64"]
    assert len(tasks) == 1 + len(VARIANTS) + 1 + 2
    one, other = (task["needs"] for task in tasks[-2:])
    assert len(set(one) & set(other)) == len(VARIANTS)


def test_what_differs_is_never_shared(clone: Path) -> None:
    tasks = plan(clone, "classifier.seed=0,1", variants=["mlp"])
    assert [task["needs"] for task in tasks] == [[], [], [0], [1]]
    tasks = plan(clone, "training.seeds=[0],[1]", variants=["mlp"])
    assert [task["name"] for task in tasks] == ["reference", "mlp seeds=[0]", "mlp seeds=[1]"]
    names = [task["name"] for task in plan(clone, "variants.mlp.summary=one,two")]
    assert names == ["reference", *VARIANTS, "report summary=one", "report summary=two"]  # the report alone reads it


def test_other_code_has_another_folder(clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    run("git", "clone", "--quiet", str(clone), str(other), cwd=tmp_path)
    (other / "README.md").write_text("no stage reads it\n")
    (clone_folders, other_folders) = ([task["folder"] for task in make_plan(at, (), ())[0]] for at in (clone, other))
    assert other_folders == clone_folders
    network = other / "stages/networks/mlp.py"
    network.write_text(network.read_text() + "# changed\n")
    changed = {
        task["name"]
        for task, folder in zip(make_plan(other, (), ())[0], clone_folders, strict=True)
        if task["folder"] != folder
    }
    assert {"mlp", "cgan", "report"} <= changed
    assert not {"reference", "dcgan", "stylegan"} & changed


@pytest.mark.parametrize(
    ("variant", "override", "line"),
    [
        ("dcgna", "budget=smoke", "unknown variant 'dcgna' (did you mean 'dcgan'?)"),
        ("mlp", "variants.mlp.batch_size=0", "params.yaml: variants.mlp.batch_size: 0 is not allowed"),
        ("mlp", "variants.mlp.batchsize=64", "-S variants.mlp.batchsize=64: Could not override"),
        ("mlp", "budget", "-S budget: "),
    ],
)
def test_a_mistake_is_found_before_anything_runs(clone: Path, variant: str, override: str, line: str) -> None:
    with pytest.raises(ParameterError, match=f"^{re.escape(line)}"):
        plan(clone, override, variants=[variant])


def test_values_are_those_of_dvc() -> None:
    assert sweep(()) == [[]]
    assert sweep(["a.b=[1,2]"]) == [["a.b=[1,2]"]]
    assert sweep(["a=1,2", "b=x"]) == [["a=1", "b=x"], ["a=2", "b=x"]]
