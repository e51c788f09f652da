"""Names, parameters and tags of runs."""

import subprocess
from pathlib import Path

import pytest

from stages.tracking.run_names import describe_run, source_tags
from tests.conftest import ROOT


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
