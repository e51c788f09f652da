"""What other machines get is what is here: the commit, changes, and the way to the remote, but no secret in git."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from stages.cluster.snapshot import pack, snapshot
from stages.cluster.worker import unpack
from stages.config.errors import StageError
from tests.conftest import commit_all, run


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With three files of code, and a remote whose settings are in two places."""
    folder = tmp_path / "here"
    for name in ("kept", "edited", "removed"):
        (folder / "stages").mkdir(parents=True, exist_ok=True)
        (folder / "stages" / f"{name}.py").write_text(f"NAME = '{name}'\n")
    (folder / "picture.png").write_bytes(bytes(range(256)))
    run("git", "init", "--quiet", cwd=folder)
    run("dvc", "init", "--quiet", cwd=folder)
    run("dvc", "remote", "add", "--default", "shared", "../elsewhere", cwd=folder)
    run("dvc", "cache", "dir", "--local", str(tmp_path / "cache"), cwd=folder)
    commit_all(folder, "start")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Files that git would know, by their path."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=folder).stdout.splitlines()
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def test_a_snapshot_has_the_changes_that_git_knows(repository: Path) -> None:
    (repository / "stages/edited.py").write_text("NAME = 'with ünïcode'\n")
    (repository / "stages/removed.py").unlink()
    (repository / "stages/new.py").write_text("NAME = 'new'\n")
    (repository / "picture.png").write_bytes(bytes(reversed(range(256))))
    run("git", "add", "stages/new.py", cwd=repository)
    run("git", "config", "diff.noprefix", "true", cwd=repository)
    run("git", "config", "diff.context", "0", cwd=repository)
    before = run("git", "status", "--short", cwd=repository).stdout
    with snapshot(repository) as clone:
        assert contents(clone) == contents(repository)
        assert (
            run("git", "rev-parse", "HEAD", cwd=clone).stdout == run("git", "rev-parse", "HEAD", cwd=repository).stdout
        )
    assert run("git", "status", "--short", cwd=repository).stdout == before
    assert not clone.exists()


@pytest.mark.parametrize("is_ignored", [False, True])
def test_code_that_git_does_not_know_is_refused(repository: Path, is_ignored: bool) -> None:
    if is_ignored:
        (repository / ".gitignore").write_text("forgotten.py\n")
    (repository / "stages/forgotten.py").touch()
    with pytest.raises(StageError, match=r"^git does not know stages/forgotten\.py: .*git add"), snapshot(repository):
        pass


def test_settings_of_the_remote_travel_in_a_file_that_nobody_else_reads(repository: Path, tmp_path: Path) -> None:
    run("dvc", "remote", "modify", "--local", "shared", "url", "s3://bucket/path", cwd=repository)
    run("dvc", "remote", "modify", "--local", "shared", "secret_access_key", "s3cr3t", cwd=repository)
    with snapshot(repository) as clone:
        unpack(pack(clone), tmp_path / "there")
    there = tmp_path / "there"
    config = there / ".dvc/config.local"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert run("dvc", "remote", "list", cwd=there).stdout.split() == ["shared", "s3://bucket/path", "(default)"]
    assert "s3cr3t" in config.read_text()
    assert "cache" not in config.read_text()  # its folder is this machine's
    assert run("git", "status", "--short", cwd=there).stdout == ""


def test_a_remote_that_is_a_folder_is_the_same_folder_from_there(repository: Path, tmp_path: Path) -> None:
    there = tmp_path / "far" / "away"
    with snapshot(repository) as clone:
        unpack(pack(clone), there)
    assert run("dvc", "config", "remote.shared.url", cwd=there).stdout.strip() == str(tmp_path / "elsewhere")


def test_what_a_killed_attempt_left_is_replaced_and_not_written_through(repository: Path, tmp_path: Path) -> None:
    """DVC restores files as links into the cache that clones on a machine share, and lets nobody write there."""
    there, cached = tmp_path / "there", tmp_path / "cached"
    cached.write_bytes(b"of another clone")
    cached.chmod(0o444)
    there.mkdir()
    (there / "picture.png").hardlink_to(cached)
    (there / "outputs").mkdir()
    (there / "outputs/checkpoint").write_text("7")
    with snapshot(repository) as clone:
        unpack(pack(clone), there)
    assert (there / "picture.png").read_bytes() == bytes(range(256))
    assert cached.read_bytes() == b"of another clone"
    assert (there / "outputs/checkpoint").read_text() == "7"


def test_without_a_remote_a_line_says_how_to_add_one(repository: Path) -> None:
    run("dvc", "remote", "remove", "shared", cwd=repository)
    with pytest.raises(StageError, match=r"there is none: dvc remote add --default "), snapshot(repository):
        pass
