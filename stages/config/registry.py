"""Find a class by the name of its file: the file is the registry, there is no list to edit."""

import contextlib
import difflib
import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

CODE = Path(__file__).parents[1]  # stages/
Contract = TypeVar("Contract")


class UnknownNameError(ValueError):
    """No file of that name defines what was asked for; the message lists the names that do."""


class BrokenFileError(Exception):
    """The file exists but cannot be imported, or defines several classes of the contract."""


def find_class(folder: str, name: str, contract: type[Contract]) -> type[Contract]:
    """The one subclass of `contract` that stages/<folder>/<name>.py defines.

    Raises UnknownNameError if there is no such file or class, BrokenFileError if it is broken or ambiguous.
    """
    found = _classes(folder, name, contract) if name in module_names(folder) else []
    if not found:
        reason = _only_outside_the_copy(folder, name) or allowed(name, choices(folder, contract))
        raise UnknownNameError(f"unknown {folder.removesuffix('s')} {name!r}{reason}")
    if len(found) > 1:
        raise BrokenFileError(f"stages/{folder}/{name}.py: expected one {contract.__name__}, found {len(found)}")
    return found[0]


def _only_outside_the_copy(folder: str, name: str) -> str:
    """What to say where a temporary copy lacks a file that the repository has; an empty string elsewhere."""
    file = Path("stages", folder, f"{name}.py")
    is_there = name.isidentifier() and (Path(os.environ.get("DVC_ROOT", ".")) / file).is_file()
    if not is_there or name in module_names(folder):
        return ""
    return f": git does not know {file}, so the temporary copy of the repository lacks it: git add {file}"


def choices(folder: str, contract: type[Any]) -> list[str]:
    """Names of the files of a folder that define a subclass of `contract`; broken ones are skipped."""
    found = []
    for name in module_names(folder):
        with contextlib.suppress(BrokenFileError):
            found += [name] if _classes(folder, name, contract) else []
    return found


def module_names(folder: str) -> list[str]:
    """Names of the modules in stages/<folder>."""
    return sorted(path.stem for path in (CODE / folder).glob("[!_.]*.py"))


def _classes(folder: str, name: str, contract: type[Contract]) -> list[type[Contract]]:
    try:
        module = import_module(f"stages.{folder}.{name}")
    except Exception as error:
        raise BrokenFileError(f"stages/{folder}/{name}.py: {error!r}") from error
    defined = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    return [item for item in defined if issubclass(item, contract) and item is not contract]


def allowed(name: object, names: Iterable[str]) -> str:
    """What to say after an unknown name: the closest one, and all that are allowed."""
    names = sorted(names)
    by_letters = {_letters(one): one for one in names}
    close = difflib.get_close_matches(_letters(str(name)), by_letters, n=1)
    hint = f" (did you mean {by_letters[close[0]]!r}?)" if close else ""
    return f"{hint}; expected one of: {', '.join(names)}"


def _letters(name: str) -> str:
    """A name in one spelling, for comparison: mnist for MNIST, image_folder for image-folder."""
    return name.lower().replace("-", "_")
