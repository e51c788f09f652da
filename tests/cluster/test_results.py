"""Results that the remote lacks are named: no report is written without them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from stages.cluster.results import pull, push
from stages.config.errors import StageError
from tests.conftest import commit_all, run

FILES = {"kept": "1", "shown": "22", "folder/file": "333"}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of DVC with one stage, built, and with a remote next to it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("one").touch()
    run("git", "init", "--quiet", cwd=folder)
    run("dvc", "init", "--quiet", cwd=folder)
    outs = ("--outs", "kept", "--outs", "folder", "--plots-no-cache", "shown")
    command = "; ".join(["mkdir folder", *(f"printf {content} > {name}" for name, content in FILES.items())])
    run("dvc", "stage", "add", "--name", "write", "--deps", "one", *outs, command, cwd=folder)
    run("dvc", "remote", "add", "--default", "--quiet", "storage", str(tmp_path / "storage"), cwd=folder)
    run("dvc", "repro", "--quiet", cwd=folder)
    commit_all(folder, "built")
    return folder


@pytest.mark.parametrize("lost", [None, *FILES])
def test_what_was_pushed_comes_back_and_what_was_lost_since_is_named(
    lost: str | None, repository: Path, tmp_path: Path
) -> None:
    push(["write"])
    shutil.rmtree(".dvc/cache")
    run("rm", "-r", "kept", "shown", "folder", cwd=repository)
    if lost:
        digest = hashlib.md5(FILES[lost].encode(), usedforsecurity=False).hexdigest()
        (tmp_path / "storage/files/md5" / digest[:2] / digest[2:]).unlink()
        with pytest.raises(StageError, match=f"^the remote lacks {lost}$"):
            pull(["write"])
    else:
        pull(["write"])
        assert {name: Path(name).read_text() for name in FILES} == FILES
