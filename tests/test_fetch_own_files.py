"""Files of the user's own in data/raw stay, whatever DVC and fetch do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from stages.config.errors import StageError
from stages.fetch import remove_earlier_outputs
from stages.storage.paths import RAW
from tests.conftest import clone_repository, run


def test_what_dvc_has_a_copy_of_goes_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path)
    run("dvc", "init", "--quiet", cwd=tmp_path)
    old, mine = RAW / "cats/old.png", RAW / "cats/mine.png"
    for path in (old, mine):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    digest = hashlib.md5(old.read_bytes(), usedforsecurity=False).hexdigest()
    copy = tmp_path / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    copy.parent.mkdir(parents=True)
    copy.write_bytes(old.read_bytes())
    with pytest.raises(StageError, match=r"move them out of data/raw: data/raw/cats/mine\.png$"):
        remove_earlier_outputs([old, mine])
    assert old.exists()
    assert mine.exists()
    remove_earlier_outputs([old])
    assert not old.exists()
    mine.unlink()
    assert RAW.exists()


def test_dvc_repro_leaves_images_in_data_raw_alone(tmp_path: Path) -> None:
    clone = clone_repository(tmp_path / "reprogan")
    mine = clone / "data/raw/holiday/beach.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_text("a beach")
    failed = run("dvc", "repro", "fetch", cwd=clone, check=False)
    assert failed.returncode != 0
    assert "error: files that are not of this data set are in the way" in failed.stdout + failed.stderr
    assert mine.read_text() == "a beach"
    mine.rename(clone / "beach.jpg")
    mine.parent.rmdir()
    run("dvc", "repro", "fetch", cwd=clone)
    assert len(list((clone / "data/raw").iterdir())) == 4
