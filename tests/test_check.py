"""An unknown name in params.yaml is reported with those allowed, and DVC never removes a user's own files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import check
from stages.config.components import FOLDERS
from stages.config.errors import ParameterError, StageError
from stages.config.params import load
from stages.storage.paths import CHECKED
from tests.conftest import ROOT, clone_of_one_variant, commit_all, put, run, set_parameter

FOLDERS_OF_OUTPUTS = (
    *("data/processed/train", "data/reference/features", "models/classifier", "models/mlp", "models/mlp/seed_3"),
    *("data/samples/mlp", "data/champion", "metrics/variants/mlp/pictures", "metrics/training/mlp"),
)
OWN = ("images.npy", "config.json", "generator.safetensors", "training.gif", ".images.npy.1234.tmp")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_the_same_whatever_the_parameters_are(folder: Path, raw_params: Callable[[], Any]) -> None:
    written = set()
    for budget in ("quick", "smoke"):
        raw = raw_params()
        put(raw, "budget", budget)
        put(raw, "variants.mlp.objective.name", "hinge")
        YAML().dump(raw, folder / "params.yaml")
        check.main(load(components=False))
        written.add(CHECKED.read_text())
    assert len(written) == 1


@pytest.mark.parametrize("key", ["dataset", *(f"variants.mlp.{role}.name" for role in FOLDERS)])
def test_a_name_that_no_file_has_is_told_with_those_that_are_allowed(
    folder: Path, raw_params: Callable[[], Any], key: str
) -> None:
    raw = raw_params()
    put(raw, key, "no_such")
    YAML().dump(raw, folder / "params.yaml")
    with pytest.raises(
        ParameterError, match=rf"^params\.yaml: {key}: unknown .* 'no_such'.*; expected one of: \w+, \w+"
    ):
        check.main(load(components=False))
    assert not CHECKED.exists()


@pytest.mark.parametrize("name", ["MNIST", "Fashion-MNIST", "image-folder"])
def test_capitals_and_dashes_are_guessed(folder: Path, raw_params: Callable[[], Any], name: str) -> None:
    raw = raw_params()
    put(raw, "dataset", name)
    put(raw, "variants.mlp.gan.name", "standart")
    YAML().dump(raw, folder / "params.yaml")
    with pytest.raises(ParameterError) as refused:
        check.main(load(components=False))
    of_data, of_gan = str(refused.value).splitlines()  # all mistakes at once
    assert f"{name!r} (did you mean '{name.lower().replace('-', '_')}'?)" in of_data
    assert "'standart' (did you mean 'standard'?)" in of_gan


def test_files_of_the_users_own_are_not_removed_by_the_first_repro(clone: Path) -> None:
    mine = clone / "models/mlp/notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    set_parameter(clone, "sample.seed", 3)
    refused = run("dvc", "repro", cwd=clone, check=False)
    assert (
        "error: DVC would remove files that are not outputs; move them elsewhere: models/mlp/notes.txt"
        in refused.stderr
    )
    assert mine.read_text() == "mine"
    mine.unlink()
    run("git", "reset", "--quiet", "--hard", cwd=clone)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone with one variant, and with an objective and a data set that git does not know."""
    clone = clone_of_one_variant(tmp_path_factory.mktemp("check") / "reprogan")
    shutil.copy(ROOT / "stages/objectives/hinge.py", clone / "stages/objectives/mine.py")
    shutil.copy(ROOT / "stages/datasets/mnist.py", clone / "stages/datasets/digits.py")
    return clone


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("dataset=digitts", "dataset: unknown dataset 'digitts' (did you mean 'digits'?); expected one of: digits, "),
        (
            "variants.mlp.network.name=dgcan",
            "variants.mlp.network.name: unknown network 'dgcan' (did you mean 'dcgan'?); expected one of: ",
        ),
    ],
)
def test_a_misspelt_name_is_told_before_any_work(clone: Path, change: str, says: str) -> None:
    refused = run("dvc", "exp", "run", "-S", change, "evaluate@mlp", cwd=clone, check=False)
    run("git", "reset", "--quiet", "--hard", cwd=clone)
    assert f"error: params.yaml: {says}" in refused.stderr
    assert "No such file" not in refused.stdout + refused.stderr
    assert not (clone / "data/fetched").exists()


@pytest.mark.parametrize(
    ("change", "file"),
    [
        ("dataset=digits", "stages/datasets/digits.py"),
        ("variants.mlp.objective.name=mine", "stages/objectives/mine.py"),
    ],
)
def test_a_file_that_git_does_not_know_is_named_with_what_to_do(clone: Path, change: str, file: str) -> None:
    refused = run("dvc", "exp", "run", "--temp", "-S", change, "evaluate@mlp", cwd=clone, check=False)
    expected = f": git does not know {file}, so the temporary copy of the repository lacks it: git add {file}\n"
    assert expected in refused.stderr
    assert "No such file" not in refused.stdout + refused.stderr


def test_a_file_that_git_does_not_know_is_named_where_no_parameter_changed(clone: Path) -> None:
    set_parameter(clone, "variants.mlp.objective.name", "mine")
    run("dvc", "repro", "check", cwd=clone)
    mine = clone / "stages/objectives/mine.py"
    content = mine.read_bytes()
    mine.unlink()
    commit_all(clone, "all but the file")
    mine.write_bytes(content)
    refused = run("dvc", "exp", "run", "--temp", "evaluate@mlp", cwd=clone, check=False)
    assert "unknown objective 'mine': git does not know stages/objectives/mine.py" in refused.stderr
    assert "failed to reproduce 'check'" in refused.stderr


@pytest.mark.parametrize("outputs", FOLDERS_OF_OUTPUTS)
@pytest.mark.parametrize("name", ["holiday.jpg", "notes.txt", "mine/cat.jpeg"])
def test_files_of_the_users_own_are_never_in_dvcs_way(folder: Path, outputs: str, name: str) -> None:
    mine = Path(outputs) / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(StageError) as refused:
        check.refuse_unknown_files(["mlp"])
    assert str(refused.value) == f"DVC would remove files that are not outputs; move them elsewhere: {mine}"


def test_outputs_are_in_nobodys_way(folder: Path) -> None:
    for outputs in FOLDERS_OF_OUTPUTS:
        for name in ("8.png",) if outputs.startswith("metrics") else OWN:
            path = Path(outputs) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    check.refuse_unknown_files(["mlp"])
