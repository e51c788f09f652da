"""A part of the pipeline on another machine: a stage that fails ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.build_part import build, is_tracked_elsewhere
from stages.config.errors import StageError
from tests.conftest import run


def test_a_stage_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path)
    run("dvc", "init", "--quiet", cwd=tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages:\n  good: {cmd: echo good}\n  bad: {cmd: exit 3}\n")
    build("good")
    with pytest.raises(StageError, match="dvc repro bad failed"):
        build("bad")


@pytest.mark.parametrize(("uri", "kept"), [("", False), ("sqlite:///x.db", False), ("http://there.example", True)])
def test_runs_are_tracked_where_the_store_outlives_the_clone(
    uri: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert is_tracked_elsewhere() == kept
