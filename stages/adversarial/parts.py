"""The parts that a variant is made of: found by their names, built from their options."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from stages.settings.errors import ParameterError
from stages.settings.params import PARAMS_FILE, PartChoice, Variant, allowed, validate

CODE = Path(__file__).parents[1]
FOLDERS = {"game": "games", "network": "networks", "objective": "objectives", "regularizer": "regularizers"}


class BrokenPartError(Exception):
    """A part's file exists but cannot be imported, or defines no class of its role."""


def build_parts(name: str, variant: Variant) -> dict[str, Any]:
    """Game, network, objective and regularizer of a variant, by role.

    Raises ParameterError for an unknown part or option and for parts that do not fit each other, BrokenPartError
    where a file cannot be imported.
    """
    where = f"{PARAMS_FILE}: variants.{name}"
    parts = {role: build_part(role, getattr(variant, role), f"{where}.{role}") for role in FOLDERS}
    try:
        parts["game"].check(parts["network"], parts["objective"], parts["regularizer"])
    except ValueError as error:
        raise ParameterError(f"{where}: {error}") from None
    return parts


def part_files(variant: Variant) -> list[Path]:
    """The files of a variant's parts."""
    return [CODE / folder / f"{getattr(variant, role).name}.py" for role, folder in FOLDERS.items()]


def build_part(role: str, choice: PartChoice, where: str) -> Any:
    """The part that a choice names, with its options; raises as `build_parts` does."""
    folder = FOLDERS[role]
    files = (CODE / folder).glob("[!_]*.py")
    names = {file.stem for file in files}
    if choice.name not in names:
        raise ParameterError(f"{where}.name: unknown {role} {choice.name!r}{allowed(choice.name, names)}")
    try:
        model = getattr(import_module(f"stages.{folder}.{choice.name}"), role.capitalize())
    except Exception as error:
        raise BrokenPartError(f"stages/{folder}/{choice.name}.py: {error!r}") from error
    return validate(model, choice.model_dump(), where)
