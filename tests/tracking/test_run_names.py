"""Names, parameters and tags of runs."""

import subprocess
from pathlib import Path

import pytest

from stages.tracking.run_names import describe_run, find_changes, name_run, source_tags
from tests.conftest import ROOT
from tests.tracking.history import PARAMS, change, commit, git


def test_a_run_has_the_name_of_its_variant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.chdir(tmp_path)  # no repository
    described = describe_run("dcgan", {"network": {"name": "dcgan"}}, {"a": "b"})
    assert described == {
        "name": "dcgan",
        "parameters": {"network.name": "dcgan"},
        "tags": {"reprogan.variant": "dcgan", "a": "b"},
        "build": None,
    }
    (tmp_path / "params.yaml").write_text("variants: {dcgan: {summary: a GAN, paper: 'P, 2000'}}")
    monkeypatch.setenv("DVC_EXP_NAME", "odd-name")
    described = describe_run("dcgan", {}, {})
    assert described["build"] == ("odd-name", "odd-name")
    assert described["tags"]["mlflow.note.content"].startswith("**dcgan**: a GAN (P, 2000)\n")


def test_source_tags_name_the_commit_and_what_dvc_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(ROOT)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert source_tags()["mlflow.source.git.commit"] == head
    assert not [tag for tag in source_tags() if tag.startswith("dvc")]
    monkeypatch.setenv("DVC_STAGE", "train@x")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    tags = source_tags()
    assert (tags["dvc.stage"], tags["dvc.exp_baseline_rev"]) == ("train@x", "abc")
    monkeypatch.chdir(tmp_path)  # no repository
    assert source_tags()["mlflow.source.git.commit"] == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert source_tags()["mlflow.source.git.commit"] == "unknown"


def test_without_git_a_run_has_the_name_of_its_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_run("x", {}) == "x"


def test_a_run_is_called_by_what_it_changes(repository: Path) -> None:
    assert name_run("x", {"seed": 0, "seeds": [0]}) == "x"
    change(variants__x__batch_size=16, variants__y__batch_size=4)
    assert name_run("x", {"seed": 0, "seeds": [0]}) == "x: batch_size=16"
    assert name_run("x", {"seed": 3, "seeds": [0, 3]}) == "x (seed 3): batch_size=16"
    assert name_run("x", {"seed": 3, "seeds": [0, 3]}, is_now=False) == "x (seed 3)"  # of an earlier training
    change(training__log_steps=4, variants__x__images__quick=6, budget="quick", variants__x__batch_size=32)
    assert name_run("x", {}) == "x: training.log_steps=4, batch_size=32, images.quick=6"
    change(variants__x__critic_steps=2)
    assert name_run("x", {}) == "x: training.log_steps=4, batch_size=32, images.quick=6, 1 more"


def test_what_changes_no_training_is_not_in_the_name(repository: Path) -> None:
    change(tracking__enabled=False, training__seeds=[1], variants__x__summary="more", variants__x__images__full=1)
    assert find_changes("x") == []


def test_a_new_variant_is_called_by_its_name(repository: Path) -> None:
    change(variants__z=PARAMS["variants"]["x"])
    assert find_changes("z") == []
    assert find_changes("classifier") == []


def test_an_experiment_is_compared_with_its_baseline(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    baseline = git("rev-parse", "HEAD")
    change(variants__x__batch_size=16)
    commit("as a temporary copy of the repository may have it")
    assert find_changes("x") == []
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", baseline)
    assert find_changes("x") == ["batch_size=16"]
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)  # that git does not know
    assert find_changes("x") == []


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "x: 2000-99-99"])
def test_a_file_that_is_no_mapping_gives_no_changes(text: str, repository: Path) -> None:
    Path("params.yaml").write_text(text)
    assert name_run("x", {}) == "x"
