"""dvc.lock: after `make repair` DVC goes on from whatever a kill left of it, and runs nothing again."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc.repo import Repo

from tests.conftest import ROOT, commit_all, run

PIPELINE = """
stages:
  draw:
    cmd: echo draw >>ran && cat input >file && mkdir folder && cp file folder/1 && cp file folder/2
    deps: [input]
    outs: [file, folder]
  score:
    cmd: echo score >>ran && cat file file >metric
    deps: [file, folder]
    metrics: [metric: {cache: false}]
"""
WHOLE = b"size: 12\n", b"nfiles: 2\n"  # ends of an entry


def repair(repository: Path) -> bool:
    """Whether `make repair` took git's lock."""
    done = run("make", "--file", str(ROOT / "Makefile"), "repair", cwd=repository)
    assert done.stdout == ""
    return "git's is back" in done.stderr


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small pipeline whose lock git has as it was before the input changed."""
    monkeypatch.chdir(tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path)
    run("dvc", "init", "--quiet", cwd=tmp_path)
    Path("dvc.yaml").write_text(PIPELINE)
    Path(".gitignore").write_text("ran\n")
    for content in ("before", "after"):
        Path("input").write_text(f"{content:12}")
        run("dvc", "repro", cwd=tmp_path)
        if content == "before":
            commit_all(tmp_path, "built")
    return tmp_path


def test_a_build_goes_on_from_a_lock_that_was_cut_off_anywhere(pipeline: Path) -> None:
    built, ran = (Path(name).read_bytes() for name in ("dvc.lock", "ran"))
    last = built.index(b"path: folder\n", built.index(b"outs:"))  # of the first stage's outputs
    cuts = {
        "empty": 0,
        "no YAML": built.index(b"deps:") + 2,
        "in the hash of a dependency": built.index(b"md5: ") + 20,
        "in the hash of an output": built.index(b"md5: ", last) + 20,
        "in the kind of a hash": built.index(b"hash: md5", last) + len("hash: md"),
        "after the hash of an output": built.index(b".dir\n", last) + len(".dir\n"),
        "in the size of an output": built.index(b"size: 12", last - 30) + len("size: 1"),
        "before the count of an output's files": built.index(b"      nfiles: ", last),
        "between two outputs": built.index(b"    - path: folder\n", last - 20),
        "between two stages": built.index(b"  score:\n"),
    }
    for where, length in cuts.items():
        Path("dvc.lock").write_bytes(built[:length])
        assert repair(pipeline) == (not where.startswith("between")), where
        Repo().reproduce()
        assert Path("dvc.lock").read_bytes() == built, where
        assert Path("ran").read_bytes() == ran, where


def test_a_lock_that_is_not_whole_is_gits(pipeline: Path) -> None:
    lock = Path("dvc.lock")
    built, of_git = lock.read_bytes(), run("git", "show", "HEAD:dvc.lock", cwd=pipeline).stdout.encode()
    for length in range(0, len(built), 5):
        lock.write_bytes(built[:length])
        assert repair(pipeline) != built[:length].endswith(WHOLE)
        assert lock.read_bytes() == (built[:length] if built[:length].endswith(WHOLE) else of_git)
    for whole in (built, (ROOT / "dvc.lock").read_bytes()):
        lock.write_bytes(whole)
        assert not repair(pipeline)
        assert lock.read_bytes() == whole


def test_a_lock_that_git_does_not_have_goes(tmp_path: Path) -> None:
    assert not repair(tmp_path)  # none is none
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  fetch:\n    cm")
    repair(tmp_path)
    assert not (tmp_path / "dvc.lock").exists()


@pytest.mark.parametrize("meanwhile", [[], ["add"], ["add", "commit"]], ids=["at once", "added", "committed"])
def test_of_a_merges_two_locks_ours_is_taken_and_dvc_goes_on(pipeline: Path, meanwhile: list[str]) -> None:
    """Two branches with other inputs, both built: git cannot merge their locks."""
    run("git", "checkout", "--quiet", ".", cwd=pipeline)
    run("git", "branch", "other", cwd=pipeline)
    for branch, content in {"other": "theirs", "": "ours"}.items():
        run("git", "checkout", "--quiet", branch or "-", cwd=pipeline)
        Path("input").write_text(f"{content:12}")
        run("dvc", "repro", cwd=pipeline)
        commit_all(pipeline, content)
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    run("git", *identity, "merge", "other", cwd=pipeline, check=False)
    run("git", "checkout", "--ours", "input", cwd=pipeline)
    for command in meanwhile:  # with the markers in it
        run("git", *identity, command, "--all", *(("--message", "half") if command == "commit" else ()), cwd=pipeline)
    assert "<<<<<<< HEAD" in Path("dvc.lock").read_text()
    ran = Path("ran").read_bytes()
    done = run("make", "--file", str(ROOT / "Makefile"), "repair", cwd=pipeline)
    assert done.stderr.startswith("dvc.lock had a merge conflict: ours is taken")
    run("dvc", "repro", cwd=pipeline)
    assert Path("ran").read_bytes() == ran
    assert Path("file").read_text() == f"{'ours':12}"


def test_a_lock_of_dvcs_own_that_a_kill_left_empty_or_cut_off_is_removed(tmp_path: Path) -> None:
    rwlock = tmp_path / ".dvc/tmp/rwlock"
    rwlock.parent.mkdir(parents=True)
    for content, stays in (("", False), ('{"read": {"/tmp/', False), ('{"read": {}}', True)):
        rwlock.write_text(content)
        repair(tmp_path)
        assert rwlock.exists() == stays
