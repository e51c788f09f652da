"""The command line: mistakes end every stage in lines of text, before it touches anything."""

from __future__ import annotations

import math
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.config.command import run_stage
from stages.config.errors import ParameterError, StageError
from stages.config.params import Params
from tests.conftest import ROOT, put, run

STAGES = (
    *("check", "fetch", "preprocess", "classifier", "reference"),
    *("train mlp", "sample mlp", "evaluate mlp", "report"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With nothing but params.yaml in it."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spoil(folder: Path, raw: Any, key: str, value: Any) -> None:
    put(raw, key, value)
    YAML(typ="safe").dump(raw, folder / "params.yaml")


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_refuses_before_it_touches_anything(
    raw_params: Callable[[], Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
) -> None:
    raw = raw_params()
    put(raw, "variants.wgan_gp.batch_sise", 3)  # another variant's mistake counts too
    spoil(folder, raw, "sample.count", math.nan)
    module, *arguments = stage.split()
    monkeypatch.setattr("sys.argv", [module, *arguments])
    monkeypatch.delitem(sys.modules, f"stages.{module}", raising=False)  # run it anew, as `python -m` does
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"stages.{module}", run_name="__main__")
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert [line.split(": ")[:3] for line in sorted(lines)] == [
        ["error", "params.yaml", "sample.count"],
        ["error", "params.yaml", "variants.wgan_gp.batch_sise"],
    ]
    assert [path.name for path in folder.iterdir()] == ["params.yaml"]


def run_with(main: Callable[..., None], monkeypatch: pytest.MonkeyPatch, *argv: str, **options: Any) -> Any:
    """Exit code of a stage with that work and command line; None where it ends well."""
    monkeypatch.setattr("sys.argv", ["stage", *argv])
    try:
        run_stage(main, "What it does.", **options) if options else run_stage(main, "What it does.", "variant")
    except SystemExit as ended:
        return ended.code
    return None


def failing(error: BaseException) -> Callable[..., None]:
    def main(params: Params, name: str) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (StageError("the network is down"), 1, "error: the network is down\n"),
        (ParameterError("a: wrong\nb: wrong"), 2, "error: a: wrong\nerror: b: wrong\n"),
        (OSError(28, "No space left on device", "x.npy"), 1, "error: x.npy: No space left on device\n"),
        (OSError("odd"), 1, "error: odd\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_an_error_is_its_lines_and_exit_code(
    error: BaseException,
    code: int,
    says: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_with(failing(error), monkeypatch, "mlp") == code
    assert capsys.readouterr().err == says


def test_a_bug_keeps_its_traceback(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_with(failing(ZeroDivisionError()), monkeypatch, "mlp")


def test_the_work_gets_parameters_and_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    assert run_with(lambda *arguments: given.extend(arguments), monkeypatch, "mlp") is None
    params, name = given
    assert isinstance(params, Params)
    assert name == "mlp"


def test_wrong_arguments_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for argv in ((), ("mlp", "dcgan"), ("--seed=1", "mlp")):
        assert run_with(failing(AssertionError()), monkeypatch, *argv) == 2
        assert " [-h] variant\n" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["preprocess", "report"])
def test_a_python_without_docstrings_is_refused(folder: Path, stage: str) -> None:
    for environment in ({"PYTHONOPTIMIZE": "2"}, {"PYTHONOPTIMIZE": "1"}):
        ended = run("python", "-m", f"stages.{stage}", cwd=folder, check=False, PYTHONPATH=str(ROOT), **environment)
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: ")
        assert ("-OO" in ended.stderr) == (environment["PYTHONOPTIMIZE"] == "2")


def test_components_are_looked_at_only_where_a_stage_asks_for_them(
    raw_params: Callable[[], Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(folder, raw_params(), "variants.mlp.network.latent", 3)
    assert run_with(lambda params: None, monkeypatch, components=False) is None
    assert run_with(lambda params: None, monkeypatch, components=True) == 2
    assert capsys.readouterr().err.startswith("error: params.yaml: variants.mlp.network.latent: unknown key")
