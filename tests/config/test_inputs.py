"""A change while a stage runs: what counts, and what it is called."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from stages.config import inputs
from stages.config.errors import StageError
from stages.config.inputs import Inputs
from tests.conftest import ROOT, set_parameter

PARAMS = Path("params.yaml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With params.yaml, dvc.yaml, and a copy of the code that counts as this process's."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(inputs, "CODE", tmp_path / "stages")
    imported = [tmp_path / "stages" / name for name in ("train.py", "training/ema.py")]
    monkeypatch.setattr(inputs, "_imported", lambda: imported)
    return tmp_path


def lines(began: Inputs) -> list[str]:
    with pytest.raises(StageError) as refused:
        began.raise_if_changed()
    return str(refused.value).splitlines()


def test_nothing_changed_is_nothing_said(folder: Path) -> None:
    (folder / "stages/training/.#ema.py").symlink_to("of-an-editor")  # of a buffer that is not saved
    began = Inputs(PARAMS, "train", ["mlp"])
    PARAMS.write_bytes(PARAMS.read_bytes())
    began.raise_if_changed()


@pytest.mark.parametrize("rest", ["foo: [1,\n", "foo: 2024-13-45\n"])
def test_a_file_that_is_being_edited_counts(rest: str, folder: Path) -> None:
    began = Inputs(PARAMS, "train", ["mlp"])
    PARAMS.write_text(PARAMS.read_text() + rest)
    assert lines(began) == ["params.yaml changed while the stage ran: its outputs do not count, run it again"]


def test_imported_code_counts_and_no_other(folder: Path) -> None:
    began = Inputs(PARAMS, "train", ["mlp"])
    for name in ("training/ema.py", "training/trainer.py", "evaluate.py"):
        (folder / "stages" / name).write_text("changed")
    again = "changed while the stage ran: its outputs do not count, run it again"
    assert lines(began) == [f"stages/training/ema.py {again}"]
    (folder / "stages/training/ema.py").unlink()
    assert lines(began) == [f"stages/training/ema.py {again}"]


def test_code_written_between_the_start_of_the_process_and_the_first_look_counts(folder: Path) -> None:
    path = folder / "stages/training/ema.py"
    os.utime(path, (time.time(), time.time()))  # the tests began before
    assert len(lines(Inputs(PARAMS, "train", ["mlp"]))) == 1
    os.utime(path, (0, 0))
    Inputs(PARAMS, "train", ["mlp"]).raise_if_changed()
    os.utime(path, (time.time() + 1e6,) * 2)  # a clock that is wrong must not stop all work
    Inputs(PARAMS, "train", ["mlp"]).raise_if_changed()


@pytest.mark.parametrize(
    ("stage", "arguments", "key", "value", "counts"),
    [
        ("train", ["mlp"], "variants.mlp.batch_size", 7, True),
        ("train", ["mlp"], "variants.mlp.network.latent_size", 7, True),
        ("train", ["mlp"], "variants.mlp.images.quick", 7, True),
        ("train", ["mlp"], "training.log_steps", 7, True),
        ("train", ["mlp"], "variants.mlp.images.full", 7, False),
        ("train", ["mlp"], "variants.mlp.summary", "other", False),
        ("train", ["mlp"], "variants.dcgan.batch_size", 7, False),
        ("train", ["mlp"], "evaluate.neighbours", 7, False),
        ("evaluate", ["mlp"], "evaluate.neighbours", 7, True),
        ("classifier", [], "classifier.images.quick", 7, True),
        ("classifier", [], "classifier.images.smoke", 7, False),
    ],
)
def test_parameters_count_where_dvc_yaml_names_them(
    folder: Path, stage: str, arguments: list[str], key: str, value: object, counts: bool
) -> None:
    began = Inputs(PARAMS, stage, arguments)
    set_parameter(folder, key, value)
    if not counts:
        began.raise_if_changed()
        return
    assert len(found := lines(began)) == 1
    assert found[0].startswith("params.yaml: variants.mlp" if "mlp" in key else f"params.yaml: {key.split('.')[0]}")


def test_the_report_depends_on_every_parameter(folder: Path) -> None:
    began = Inputs(PARAMS, "report", [])
    set_parameter(folder, "variants.mlp.summary", "other")
    assert lines(began)[0].startswith("params.yaml changed while")
