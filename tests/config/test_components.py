"""Components: options become typed objects, and a broken file costs its own variants alone."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from stages.config import components
from stages.config.components import (
    ComponentOptions,
    component_class,
    component_field,
    resolve,
)
from stages.config.errors import StageError
from stages.config.params import load
from stages.config.registry import BrokenFileError, UnknownNameError
from stages.regularizers.r1 import R1
from tests.conftest import ROOT, run

OPTIONS: dict[str, Any] = {"name": "r1", "weight": 0.5, "interval": 4}


def validate(value: Any, context: dict[str, Any] | None) -> Any:
    return TypeAdapter(component_field("regularizer")).validate_python(value, context=context)


def test_options_become_the_component_of_that_name() -> None:
    for built in (resolve("regularizer", OPTIONS), validate(OPTIONS, {"resolve": True})):
        assert built == R1(**OPTIONS)
        assert built.model_dump() == OPTIONS


def test_unresolved_options_are_kept_as_they_are() -> None:
    for context in (None, {"resolve": False}):
        kept = validate(OPTIONS | {"anything": [1]}, context)
        assert isinstance(kept, ComponentOptions)
        assert kept.model_dump() == OPTIONS | {"anything": [1]}
        with pytest.raises(ValidationError, match="name"):
            validate({"name": "../r1"}, context)


@pytest.mark.parametrize(
    "wrong", [{"weight": -1.0}, {"weight": "0.5"}, {"interval": 4.0}, {"interval": True}, {"more": 1}], ids=str
)
def test_options_are_strict(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        resolve("regularizer", OPTIONS | wrong)
    with pytest.raises(ValidationError, match="frozen"):
        resolve("regularizer", OPTIONS).weight = 1.0  # type: ignore[attr-defined]


def test_a_component_of_another_role_or_no_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown objective 'r1'.*; expected one of: hinge, "):
        component_class("objective", "r1")
    with pytest.raises(StageError, match="unknown regularizer 'r3'"):
        resolve("regularizer", {"name": "r3"})
    monkeypatch.setitem(components.FOLDERS, "objective", "regularizers")
    with pytest.raises(BrokenFileError, match=r"stages/regularizers/r1\.py defines a regularizer, not a objective"):
        component_class("objective", "r1")


def test_no_option_has_a_default() -> None:
    load(ROOT / "params.yaml")  # imports the components

    def subclasses(model: type[BaseModel]) -> set[type[BaseModel]]:
        return {model}.union(*(subclasses(child) for child in model.__subclasses__()))

    models = subclasses(components.Strict)
    assert R1 in models
    for model in models:
        for name, field in model.model_fields.items():
            assert field.is_required(), f"{model.__module__}.{model.__name__}.{name}"


def test_a_broken_file_breaks_only_the_variants_that_use_it(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "stages", tmp_path / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    (tmp_path / "stages/networks/sagan.py").write_text("class (\n")
    code = """
from stages.config.errors import StageError
from stages.config.params import load
params = load()
broken = []
for name in params.variants:
    try:
        params.variant(name)
    except StageError as error:
        broken.append(f"{name}: {error}")
print(*broken, sep="\\n")
"""
    told = run(sys.executable, "-c", code, cwd=tmp_path).stdout
    assert told.startswith("sagan: stages/networks/sagan.py: SyntaxError(")
    assert told.count("\n") == 1


def test_stages_that_use_no_component_do_not_import_torch() -> None:
    code = """
import sys
import stages.fetch, stages.preprocess, stages.report
from stages.config.params import load
load(components=False)
print("torch" in sys.modules)
load()
print("torch" in sys.modules)
"""
    assert run(sys.executable, "-c", code, cwd=ROOT).stdout.split() == ["False", "True"]
