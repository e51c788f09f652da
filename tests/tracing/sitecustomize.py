"""Python imports this at its start where this folder is on its path: it writes down what a stage reads.

For each stage that DVC runs, $REPROGAN_TRACES/<stage>.json lists the code of the repository that it imported, the code
that it ran after params.yaml was checked (the check imports the components of all variants), the other files that it
opened, and the keys of params.yaml whose values it looked at.
"""

from __future__ import annotations

import atexit
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

ROOT = Path.cwd()
files: set[str] = set()
ran: set[str] = set()
keys: set[str] = set()
places: dict[int, str] = {}  # of each part of params.yaml: its dotted key, by the identity of its object


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: a file is opened to be read."""
    if event != "open" or not isinstance(arguments[0], str | bytes):
        return
    path, mode, flags = arguments
    is_written = any(letter in mode for letter in "wax+") if mode else bool(flags & (os.O_WRONLY | os.O_RDWR))
    if not is_written and not os.fsdecode(path).endswith((".py", ".pyc")):  # a hash of all code is no use of it
        files.add(os.fsdecode(path))


def note_call(frame: FrameType, event: str, argument: object) -> None:
    """Profiler: a function is called."""
    if event == "call" and frame.f_code.co_name != "<module>":
        ran.add(frame.f_code.co_filename)


class Watched(importlib.machinery.SourceFileLoader):
    """Loads stages.config.params, and has it tell which values are looked at."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        load: Any = module.__dict__["load"]

        def load_and_watch(*arguments: Any, **options: Any) -> Any:
            params = load(*arguments, **options)
            register(params, "")
            watch(module.__dict__["Strict"])
            sys.setprofile(note_call)
            return params

        module.__dict__["load"] = load_and_watch


class Finder:
    """Finds that one module."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> Any:
        if name != "stages.config.params":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.origin is not None
        return importlib.util.spec_from_file_location(name, spec.origin, loader=Watched(name, spec.origin))


def parts(model: Any) -> Iterator[tuple[str, Any]]:
    """The keys and values of a model or a mapping."""
    return iter(model.items() if isinstance(model, dict) else vars(model).items())


def register(model: Any, place: str) -> None:
    """Remember where a model and what is in it stand; of models without a place of their own, that of the original."""
    places[id(model)] = place
    for name, value in parts(model):
        if hasattr(value, "model_fields") or isinstance(value, dict):
            register(value, f"{place}.{name}" if place else name)


def leaves(model: Any, place: str) -> Iterator[str]:
    """Dotted keys of all values in a model."""
    for name, value in parts(model):
        here = f"{place}.{name}" if place else name
        if hasattr(value, "model_fields") or isinstance(value, dict):
            yield from leaves(value, here)
        else:
            yield here


def watch(strict: Any) -> None:
    """From now on every value that is looked at is noted: one by one, or all of a model that is dumped or copied."""
    plain, dump, copy = strict.__getattribute__, strict.model_dump, strict.model_copy

    def getattribute(self: Any, name: str) -> Any:
        value = plain(self, name)
        if (
            name in plain(self, "__dict__")
            and id(self) in places
            and not (hasattr(value, "model_fields") or isinstance(value, dict))
        ):
            place = places[id(self)]
            keys.add(f"{place}.{name}" if place else name)
        return value

    def model_dump(self: Any, *, exclude: set[str] | None = None) -> Any:
        place = places.get(id(self))
        if place is not None:
            skipped = {f"{place}.{name}" for name in exclude or ()}
            keys.update(key for key in leaves(self, place) if not any(f"{key}.".startswith(f"{s}.") for s in skipped))
        return dump(self, exclude=exclude)

    def model_copy(self: Any, **options: Any) -> Any:
        copied = copy(self, **options)
        if id(self) in places:
            copies.append(copied)  # or another object takes its identity
            register(copied, places[id(self)])
        return copied

    strict.__getattribute__, strict.model_dump, strict.model_copy = getattribute, model_dump, model_copy


copies: list[Any] = []


def below_root(path: str) -> str | None:
    """A file's path below the repository; None for files elsewhere, and for what is no file any more."""
    found = Path(path).absolute()
    return str(found.relative_to(ROOT)) if found.is_relative_to(ROOT) and found.is_file() else None


def write() -> None:
    """What was read, at the end of the process."""
    sys.setprofile(None)
    imported = [str(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None)]
    paths = {"data": files, "imported": imported, "ran": ran}
    content: dict[str, Any] = {kind: sorted(filter(None, map(below_root, these))) for kind, these in paths.items()}
    content["keys"] = sorted(keys)
    (Path(os.environ["REPROGAN_TRACES"]) / f"{os.environ['DVC_STAGE']}.json").write_text(json.dumps(content))


module = sys.orig_argv[2] if sys.orig_argv[1:2] == ["-m"] else ""
if "DVC_STAGE" in os.environ and module.startswith("stages.") and not module.startswith("stages.tracking."):
    sys.addaudithook(note)
    sys.meta_path.insert(0, Finder)
    atexit.register(write)
