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
            assert lock.read_text() == whole[:length]  # shorter, but readable: DVC goes on from there
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(lock))
    assert mended > 50
    assert capsys.readouterr().err.count("git's is back") == mended
