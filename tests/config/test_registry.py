"""Files as a registry: the one class of a contract that a file defines, or a line that says what is allowed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stages
from stages.config import registry
from stages.config.registry import BrokenFileError, UnknownNameError, allowed, choices, find_class, module_names


class Widget:
    """A contract."""


FILES = {
    "round": "class Helper: ...\nclass Round(Widget): ...\n",
    "square": "from stages.widgets.round import Round\nclass Square(Round): ...\n",  # what is imported does not count
    "empty": "x = 1\n",
    "twins": "class One(Widget): ...\nclass Two(Widget): ...\n",
    "syntax": "class (\n",
    "failing": "1 / 0\n",
    "_private": "class Private(Widget): ...\n",
}


@pytest.fixture(autouse=True)
def widgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder stages/widgets/ of such files."""
    folder = tmp_path / "widgets"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / f"{name}.py").write_text(f"from tests.config.test_registry import Widget\n{content}")
    monkeypatch.setattr(registry, "CODE", tmp_path)
    monkeypatch.setattr(stages, "__path__", [*stages.__path__, str(tmp_path)])
    yield
    for module in [name for name in sys.modules if name.startswith("stages.widgets")]:
        del sys.modules[module]


@pytest.mark.parametrize(("name", "expected"), [("round", "Round"), ("square", "Square")])
def test_the_one_subclass_that_a_file_defines_is_found(name: str, expected: str) -> None:
    found = find_class("widgets", name, Widget)
    assert issubclass(found, Widget)
    assert (found.__name__, found.__module__) == (expected, f"stages.widgets.{name}")


@pytest.mark.parametrize("name", ["rund", "empty", "../round", "_private", ""])
def test_a_name_that_defines_none_is_unknown_and_those_that_do_are_listed(name: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        find_class("widgets", name, Widget)
    hint = " (did you mean 'round'?)" if name in ("rund", "../round") else ""
    assert str(error.value) == f"unknown widget {name!r}{hint}; expected one of: round, square, twins"


def test_a_file_that_a_temporary_copy_lacks_is_told_from_one_that_nobody_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "repository/stages/widgets"
    folder.mkdir(parents=True)
    for name in ("new", "empty"):
        (folder / f"{name}.py").touch()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repository"))
    with pytest.raises(UnknownNameError, match=r"^unknown widget 'new': [^;\n]*: git add stages/widgets/new.py$"):
        find_class("widgets", "new", Widget)
    for name in ("newer", "empty", "../widgets/new"):
        with pytest.raises(UnknownNameError, match=r"; expected one of: round, square, twins$"):
            find_class("widgets", name, Widget)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("twins", "expected one Widget, found 2"),
        ("syntax", "SyntaxError"),
        ("failing", "ZeroDivisionError"),
    ],
)
def test_a_file_that_gives_no_class_is_named(name: str, says: str) -> None:
    with pytest.raises(BrokenFileError, match=rf"stages/widgets/{name}\.py: .*{says}"):
        find_class("widgets", name, Widget)


def test_broken_files_are_no_choice(tmp_path: Path) -> None:
    (tmp_path / "widgets/._round.py").write_bytes(b"\0")  # macOS leaves such files
    assert module_names("widgets") == sorted(set(FILES) - {"_private"})
    assert choices("widgets", Widget) == ["round", "square", "twins"]
    assert choices("nowhere", Widget) == []


def test_the_closest_name_is_hinted_at() -> None:
    assert allowed("quik", ["quick", "full"]) == " (did you mean 'quick'?); expected one of: full, quick"
    assert allowed("x", ["quick", "full"]) == "; expected one of: full, quick"
