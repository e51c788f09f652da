"""The repository as other machines get it: the last commit, changes since then, and the way to DVC's remote."""

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.config import Config
from dvc.repo import Repo

from stages.config.errors import StageError, first_ten

DIFF = (
    *("git", "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false"),
    *("diff", "--binary", "--unified=3", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD"),
)


@contextlib.contextmanager
def snapshot(repository: Path) -> Iterator[Path]:
    """A clone of the last commit with the changes to files that git knows, and with the default remote's settings.

    Raises StageError if it cannot be cloned, or if the clone would differ from this repository.
    """
    refuse_unknown_code(repository)
    name, settings = default_remote(repository)
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        run("git", "clone", "--quiet", "--depth", "1", repository.resolve().as_uri(), str(clone), cwd=repository)
        if changes := run(*DIFF, cwd=repository):
            run("git", "apply", "--whitespace=nowarn", cwd=clone, stdin=changes)
        # git ignores this file; it may hold credentials, and nobody else may read it
        (clone / ".dvc" / "config.local").touch(0o600)
        with Config(str(clone / ".dvc"), validate=False).edit("local") as config:
            config |= {"core": {"remote": name}, "remote": {name: settings}}
        yield clone


def pack(clone: Path) -> bytes:
    """A clone as one archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        archive.add(clone, ".")
    return buffer.getvalue()


def refuse_unknown_code(repository: Path) -> None:
    """Raise StageError for code that git does not know: other machines would not get it."""
    code = ("stages/*.py", "stages/*.jinja", "stages/*.html", ":!*/.ipynb_checkpoints/*")
    unknown = run("git", "ls-files", "--others", "-z", "--", *code, cwd=repository)  # ignored ones, too
    if files := unknown.decode().split("\0")[:-1]:
        raise StageError(
            f"git does not know {', '.join(first_ten(files))}: other machines would not get it; git add --force"
        )


def default_remote(repository: Path) -> tuple[str, dict[str, Any]]:
    """Name and settings of DVC's default remote, wherever they are configured; raises StageError if there is none."""
    with Repo(str(repository)) as repo:
        name = repo.config["core"].get("remote")
        if not name:
            raise StageError(
                "machines exchange files by a DVC remote, and there is none: dvc remote add --default <name> <url>"
            )
        # a relative path has become an absolute one, of a type that would be written as a relative one again
        settings = {
            key: str(value) if isinstance(value, str) else value for key, value in repo.config["remote"][name].items()
        }
    return name, settings


def run(*command: str, cwd: Path, stdin: bytes | None = None) -> bytes:
    """Output of a command; raises StageError with its last line where it fails."""
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise StageError(f"{' '.join(command[:2])}: {lines[-1]}")
    return done.stdout
