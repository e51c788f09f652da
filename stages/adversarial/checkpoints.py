"""Where an interrupted training goes on: states on disk, under the hash of all that they depend on."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from stages.support.files import repository, write_bytes

LARGEST_SHARE = 0.03  # of a training's time that its states may take
CODE = Path(__file__).parents[1]
OBSERVERS = CODE / "tracking"  # they cannot change a result
KEPT = 2  # newest states: the last one may have been broken by what broke the training


def key_of(settings: Mapping[str, Any], *data: Tensor) -> str:
    """Hash of settings, data, torch's version and the code that this process has imported from here.

    A state is gone on from only where all of them are as they were.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(f"{sys.version} {torch.__version__}".encode())
    for tensor in data:
        digest.update(tensor.cpu().numpy().tobytes())
    files = {Path(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    for file in sorted(file for file in files if CODE in file.parents and OBSERVERS not in file.parents):
        digest.update(f"{file.relative_to(CODE)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


class Checkpoints:
    """States of one training, each a file: tensors by name and a JSON value.

    Between two that are due lie `every_seconds`, or more where the disk is slow.
    """

    def __init__(self, name: str, key: str, every_seconds: float) -> None:
        self.folder = repository() / ".cache" / "resume" / name / key
        self.pause = every_seconds
        self._last = time.monotonic()
        self._broken = False  # a full disk is said once

    def is_due(self) -> bool:
        """Whether the last state is so old that the next may be saved."""
        return time.monotonic() - self._last >= self.pause

    def save(self, seen: int, tensors: Mapping[str, Tensor], value: Any) -> None:
        """Write a state, and remove what is older than the one before; a state that cannot be written is given up."""
        began = time.monotonic()
        content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        try:
            write_bytes(self.folder / f"{seen:012d}.safetensors", save(content, {"value": json.dumps(value)}))
            for path in self._states()[:-KEPT]:
                path.unlink(missing_ok=True)
        except OSError as error:
            if not self._broken:
                print(f"no checkpoint could be written: {error}", file=sys.stderr)
            self._broken = True
        self._last = time.monotonic()
        self.pause = max(self.pause, (self._last - began) / LARGEST_SHARE)

    def newest(self) -> tuple[dict[str, Tensor], Any] | None:
        """Tensors and value of the newest state that can be read, or None."""
        for path in reversed(self._states()):
            try:
                with safe_open(path, "pt") as file:
                    return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["value"])  # noqa: SIM118
            except (OSError, SafetensorError):
                continue
        return None

    def remove(self) -> None:
        """Forget all states: the training's results are written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.safetensors"))
