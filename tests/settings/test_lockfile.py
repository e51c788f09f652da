"""dvc.lock: whatever a kill leaves of it, DVC can read it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML

from stages.settings.lockfile import mend
from tests.conftest import ROOT, commit_all, run


def test_a_lock_that_was_cut_off_is_taken_from_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lock = Path("dvc.lock")
    assert not mend()  # none is none
    lines = (ROOT / "dvc.lock").read_text().splitlines(keepends=True)
    whole = "".join(lines[:120])
    run("git", "init", "--quiet", cwd=tmp_path)
    lock.write_text(whole)
    commit_all(tmp_path, "built")
    assert not mend()
    mended = 0
    for length in range(0, len(whole), 13):
        lock.write_text(whole[:length])
        if mend():
            mended += 1
            assert lock.read_text() == whole
        else:
            assert lock.read_text() == whole[:length]  # shorter, but no entry is half there: DVC goes on from it
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(lock))
        last = list(YAML(typ="safe").load(lock)["stages"].values())[-1]
        assert "size" in last.get("outs", [{"size": 0}])[-1]
    assert mended > 50
    assert capsys.readouterr().err.count("git's is back") == mended


def test_a_lock_that_git_does_not_have_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  fetch:\n    cm")
    assert mend()
    assert not Path("dvc.lock").exists()


def test_a_merges_conflict_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    conflict = "schema: '2.0'\n<<<<<<< HEAD\nstages: {}\n=======\n>>>>>>> other\n"
    Path("dvc.lock").write_text(conflict)
    assert not mend()
    assert Path("dvc.lock").read_text() == conflict
