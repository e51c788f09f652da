"""The folders of stages/: imports run one way, and everything stays short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# from the ground up; rooms on one floor do not import each other
FLOORS = (
    {"config"},
    {"storage"},
    {"contracts"},
    {"training"},
    {"gans", "networks", "objectives", "regularizers", "scoring", "datasets"},
    {"evaluation"},
    {"sampling"},
    {"reporting"},
    {"serving"},
    {"tracking", "cluster"},
    {"commands"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
STAGES = ROOT / "stages"
FILES = sorted(path for path in STAGES.rglob("*.py") if path.name != "__init__.py")
LONGEST = {ast.FunctionDef: 40, ast.ClassDef: 120}  # lines


def room_of(path: Path) -> str:
    folder = path.parent.relative_to(STAGES)
    return folder.parts[0] if folder.parts else "commands"


def imported_rooms(path: Path) -> Iterator[str]:
    """The folders that a file imports from, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            package, *rest = name.split(".")
            if package == "stages" and rest:
                yield rest[0] if (STAGES / rest[0]).is_dir() else "commands"


def test_every_folder_is_a_room() -> None:
    assert {room_of(path) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(STAGES)))
def test_imports_lead_down(path: Path) -> None:
    room = room_of(path)
    wrong = {other for other in imported_rooms(path) if other != room and FLOOR[other] >= FLOOR[room]}
    assert not wrong


def test_imports_were_found() -> None:
    assert {"storage", "scoring", "evaluation"} <= set(imported_rooms(STAGES / "evaluate.py"))


def test_functions_and_classes_are_short() -> None:
    lengths = [
        (node.end_lineno - node.lineno + 1, LONGEST[type(node)], f"{path.relative_to(ROOT)}: {node.name}")
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.end_lineno
    ]
    assert len(lengths) > 400
    assert not [name for length, longest, name in lengths if length > longest]
