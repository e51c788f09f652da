"""Where an interrupted training resumes: checkpoints on disk, under the hash of all that they depend on."""

import contextlib
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from stages.storage.files import sha256, write_bytes
from stages.storage.paths import TEMPORARY, repository

KEPT = 2  # newest checkpoints: a disk may spoil one
LARGEST_SHARE = 0.03  # of a training's time that checkpoints may take
STALE_SECONDS = 7 * 24 * 3600  # after which a checkpoint that nothing resumed from is forgotten


def hash_files(files: Iterable[Path]) -> str:
    """One hash of what is in files, in the order given."""
    return hashlib.sha256("".join(sha256(file) for file in files).encode()).hexdigest()


def key_of(*depends_on: Any) -> str:
    """Hash of all that a training depends on, as JSON: with another one a training starts anew."""
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]


class Checkpoints:
    """Checkpoints of one training, each a file: tensors by name, and JSON metadata.

    Between two that are due lie `every_seconds`, or more where writing one takes long.
    """

    def __init__(self, name: str, key: str, every_seconds: float) -> None:
        self.folder = repository() / ".cache" / "resume" / name / key
        self.every_seconds = self.pause = every_seconds
        self._last = time.monotonic()
        self._is_told = False  # a full disk is worth one line

    def is_due(self) -> bool:
        """Whether the last checkpoint is so old that the next may be saved."""
        return time.monotonic() - self._last >= self.pause

    def save(self, seen: int, tensors: Mapping[str, Tensor], metadata: Any) -> None:
        """Write a checkpoint, and remove all but it and the one before; if that fails, print so once."""
        began = time.monotonic()
        content = save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            {"metadata": json.dumps(metadata)},
        )
        try:
            write_bytes(self.folder / f"{seen:012d}-{_short_hash(content)}.safetensors", content)
            for path in self._files()[:-KEPT]:
                path.unlink(missing_ok=True)
        except OSError as error:
            if not self._is_told:
                print(f"no checkpoint could be written: {error}", file=sys.stderr)
            self._is_told = True
        self._last = time.monotonic()
        self.pause = max(self.every_seconds, (self._last - began) / LARGEST_SHARE)

    def latest(self) -> tuple[dict[str, Tensor], Any] | None:
        """Tensors and metadata of the newest checkpoint that is whole, or None; what a kill left half written goes."""
        for path in self.folder.glob(f".*{TEMPORARY}"):
            path.unlink(missing_ok=True)
        for path in reversed(self._files()):
            try:
                content = path.read_bytes()
                if path.stem.endswith(_short_hash(content)):
                    with safe_open(path, "pt") as file:
                        return load(content), json.loads(file.metadata()["metadata"])
                print(f"{path}: passed over: it is not what was written", file=sys.stderr)
            # another training with the same key may have removed it, or somebody planted what is no checkpoint
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                print(f"{path}: passed over: {error}", file=sys.stderr)
        return None

    def remove(self) -> None:
        """Forget this training's checkpoints, and those of this variant that have long been left behind."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            for other in self.folder.parent.iterdir():
                if time.time() - other.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(other, ignore_errors=True)
            self.folder.parent.rmdir()  # where it is empty

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.safetensors"))


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
