"""`make push` and `make pull` with a folder as DVC's remote: what they say, and what they refuse."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from stages import share
from stages.config.errors import StageError
from tests.conftest import ROOT, commit_all, run
from tests.tools.faults import environment

FILES = {"one.txt": "1", "two.txt": "22"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of DVC with two files, and a remote next to it."""
    folder = tmp_path / "here"
    folder.mkdir()
    run("git", "init", "--quiet", cwd=folder)
    run("dvc", "init", "--quiet", cwd=folder)
    for name, content in FILES.items():
        (folder / name).write_text(content)
    run("dvc", "add", "--quiet", *FILES, cwd=folder)
    run("dvc", "remote", "add", "--default", "--quiet", "storage", str(tmp_path / "storage"), cwd=folder)
    return folder


def transfer(folder: Path, direction: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stages.share", direction]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def test_a_file_that_the_remote_lacks_is_named_and_all_others_come(repository: Path, tmp_path: Path) -> None:
    pushed = transfer(repository, "push")
    assert (pushed.returncode, pushed.stdout, pushed.stderr) == (0, "push: 2 files pushed\n", "")
    assert transfer(repository, "push").stdout == "push: Everything is up to date.\n"
    stored = {path.read_text(): path for path in (tmp_path / "storage").rglob("*") if path.is_file()}
    stored["22"].unlink()
    run("rm", "-rf", ".dvc/cache", *FILES, cwd=repository)
    pulled = transfer(repository, "pull")
    assert (pulled.returncode, pulled.stdout) == (1, "")
    assert pulled.stderr == (
        "error: pull: the remote lacks two.txt, which `make repro` builds; "
        "nothing is lost, and `make pull` goes on from here\n"
    )
    assert (repository / "one.txt").read_text() == "1"


def add_stage(repository: Path) -> None:
    """Build a stage, with one output in DVC's cache and one in git."""
    outs = ("--outs", "kept", "--plots-no-cache", "out.txt")
    command = "cp one.txt kept && cp one.txt out.txt && echo more >> out.txt"
    run("dvc", "stage", "add", "--name", "copy", "--deps", "one.txt", *outs, command, cwd=repository)
    run("dvc", "repro", "--quiet", cwd=repository)


def test_outputs_that_the_remote_does_not_take_are_counted(repository: Path, tmp_path: Path) -> None:
    """Those that git stores, which `dvc push` leaves out: of a stage in the run-cache."""
    add_stage(repository)
    digest = hashlib.md5((repository / "out.txt").read_bytes(), usedforsecurity=False).hexdigest()
    in_the_way = tmp_path / "storage/files/md5" / digest[:2]
    in_the_way.parent.mkdir(parents=True)
    in_the_way.symlink_to(tmp_path / "nowhere")
    failed = transfer(repository, "push")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.endswith(
        "1 of 2 outputs of the run-cache were not transferred; nothing is lost, and `make push` goes on from here\n"
    )
    in_the_way.unlink()
    assert transfer(repository, "push").returncode == 0
    assert (in_the_way / digest[2:]).read_text() == "1more\n"


def test_what_another_machine_did_is_restored_though_dvc_lock_knows_nothing_of_it(
    repository: Path, tmp_path: Path
) -> None:
    add_stage(repository)
    assert transfer(repository, "push").returncode == 0
    commit_all(repository, "built")
    run("git", "clone", "--quiet", str(repository), "there", cwd=tmp_path)
    there = tmp_path / "there"
    for name in ("dvc.lock", "out.txt"):
        (there / name).unlink()
    commit_all(there, "as before")
    assert transfer(there, "pull").returncode == 1
    assert "Stage 'copy' is cached" in run("dvc", "repro", cwd=there).stdout
    assert (there / "out.txt").read_text() == "1more\n"


def test_without_a_remote_one_line_says_how_to_add_one(repository: Path) -> None:
    run("dvc", "remote", "remove", "storage", cwd=repository)
    done = transfer(repository, "push")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "dvc remote add" in done.stderr


def test_the_first_file_that_fails_ends_a_push(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC goes on with all others, each of which fails after several tries."""
    program = tmp_path / "dvc"
    program.mkdir()
    (program / "__main__.py").write_text(
        "import time\n"
        "print(\"ERROR: failed to transfer 'abc' - the disk is full: try later\", flush=True)\n"
        "time.sleep(600)\n"
    )
    (program / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(repository)
    with pytest.raises(StageError) as caught:
        share.transfer("push")
    assert str(caught.value).startswith("push: the disk is full: try later; nothing is lost")


SECRETS = (
    *("access_key_id", "secret_access_key", "session_token", "sse_customer_key", "account_key", "sas_token"),
    *("connection_string", "client_secret", "gdrive_client_secret", "oss_key_secret", "password", "passphrase"),
    *("token", "credentialpath", "PASSWORD"),
)


@pytest.mark.parametrize("key", SECRETS)
def test_credentials_in_git_are_refused(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(f"['remote \"storage\"']\n    url = s3://dvc/reprogan\n    {key} = abc\n")
    with pytest.raises(StageError) as caught:
        share.refuse_secrets()
    assert str(caught.value) == f".dvc/config is in git, and has {key}: use `dvc remote modify --local`"


def test_this_repository_has_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert share.DVC_CONFIG.exists()
    share.refuse_secrets()


def test_a_password_in_an_address_in_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    for address in ("https://there.example:8080/a", "ssh://me@there.example/a", "s3://bucket/a:b@c"):
        (tmp_path / ".dvc/config").write_text(f"['remote \"storage\"']\n    url = {address}\n")
        share.refuse_secrets()
    (tmp_path / ".dvc/config").write_text("['remote \"storage\"']\n    url = https://me:abc@there.example/a\n")
    with pytest.raises(StageError, match=r"^\.dvc/config is in git, and has url: use"):
        share.refuse_secrets()
