"""The code and parameters that a stage started with, to detect changes while it runs.

DVC hashes dependencies after a command, so it would record the new version as the one that the outputs come from
(treeverse/dvc#11058).
"""

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages import STARTED
from stages.config.errors import StageError
from stages.config.registry import CODE

DVC_FILE = Path("dvc.yaml")
OBSERVERS = ("stages.tracking", "stages.config")  # they cannot change an output, so no stage depends on them


class Inputs:
    """The code and the parameters of a stage as they are now; `arguments` are those of its command."""

    def __init__(self, params_file: Path, stage: str, arguments: list[str]) -> None:
        self.params_file, self.stage, self.arguments = params_file, stage, arguments
        self.params = params_file.read_bytes() if params_file.exists() else b""
        now = time.time()
        self.code = {  # a file that was written since the process began may have been imported before that
            path: "unknown" if STARTED <= path.stat().st_mtime <= now else _digest(path)
            for path in CODE.rglob("[!.]*.py")  # editors and macOS leave hidden files
        }

    def raise_if_changed(self) -> None:
        """Raise StageError, one line per change, if imported code or a declared parameter has changed."""
        lines = [str(path.relative_to(CODE.parent)) for path in _imported() if _digest(path) != self.code.get(path)]
        if (now := self.params_file.read_bytes()) != self.params:
            lines += self._changed_parameters(now)
        if lines:
            again = "changed while the stage ran: its outputs do not count, run it again"
            raise StageError("\n".join(f"{line} {again}" for line in lines))

    def _changed_parameters(self, now: bytes) -> list[str]:
        """Those that dvc.yaml declares for this stage, or the file if the stage depends on all of it."""
        try:
            before, after, pipeline = (YAML(typ="safe").load(text) for text in (self.params, now, DVC_FILE))
        except (YAMLError, ValueError, RecursionError):  # it is being edited
            return [str(self.params_file)]
        stage = pipeline["stages"].get(self.stage, {})
        stage = stage.get("do", stage)
        if str(self.params_file) in stage.get("deps", []):
            return [str(self.params_file)]
        variant, budget = " ".join(self.arguments), before["budget"]
        keys = [key.replace("${key}", variant).replace("${budget}", budget) for key in stage.get("params", [])]
        return [f"{self.params_file}: {key}" for key in keys if value_at(before, key) != value_at(after, key)]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "none"


def _imported() -> list[Path]:
    """Files of the modules of stages/ that this process imported, without observers."""
    modules = {name: module for name, module in sys.modules.items() if name.startswith("stages.")}
    modules["stages"] = sys.modules["stages"]
    modules["__main__"] = sys.modules["__main__"]
    counted = [module for name, module in modules.items() if not name.startswith(OBSERVERS)]
    files = {Path(file) for module in counted if (file := getattr(module, "__file__", None))}
    return sorted(file for file in files if file.is_relative_to(CODE))


def value_at(params: Any, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for step in key.split("."):
        params = params[step] if isinstance(params, dict) and step in params else None
    return params
