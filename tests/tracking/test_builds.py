"""Which build a run belongs to, and what it is called by its changes."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.tracking.builds import Build, find_build, find_changes, flatten, name_run, read_texts

PARAMS: dict[str, Any] = {
    "budget": "quick",
    "training": {"seeds": [0], "log_steps": 3},
    "tracking": {"enabled": True},
    "variants": {
        name: {"summary": "a GAN", "paper": "P, 2000", "batch_size": 8, "images": {"quick": 5, "full": 9}}
        for name in ("x", "y")
    },
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A commit with parameters, in a folder of the git repository."""
    for variable in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write(PARAMS)
    git("init", "--quiet", str(tmp_path))
    commit("Try something: once")
    return folder


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit(message: str) -> str:
    git("add", "--all")
    git("commit", "--quiet", "-m", message)
    return git("rev-parse", "HEAD")


def write(params: Any) -> None:
    YAML().dump(params, Path("params.yaml"))


def change(**values: Any) -> None:
    """Change dotted keys, with __ for a dot."""
    params = YAML(typ="safe").load(Path("params.yaml"))
    for key, value in values.items():
        *parents, last = key.split("__")
        place = params
        for parent in parents:
            place = place[parent]
        place[last] = value
    write(params)


def test_a_build_is_a_commit_or_an_experiment(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = git("rev-parse", "HEAD")
    assert find_build() == Build(head, "Try something: once")
    monkeypatch.setenv("DVC_EXP_NAME", "odd-name")
    assert find_build() == Build("odd-name", "odd-name")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", head)  # names of experiments are unique at a baseline alone
    assert find_build() == Build(f"odd-name {head}", "odd-name")


def test_there_is_no_build_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert find_build() is None
    assert name_run("x", {}) == "x"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_build() is None


def test_a_run_is_called_by_what_it_changes(repository: Path) -> None:
    assert name_run("x", {"seed": 0, "seeds": [0]}) == "x"
    change(variants__x__batch_size=16, variants__y__batch_size=4)
    assert name_run("x", {"seed": 0, "seeds": [0]}) == "x: batch_size=16"
    assert name_run("x", {"seed": 3, "seeds": [0, 3]}) == "x (seed 3): batch_size=16"
    change(training__log_steps=4, variants__x__images__quick=6, budget="quick", variants__x__batch_size=32)
    assert name_run("x", {}) == "x: training.log_steps=4, batch_size=32, images.quick=6"
    change(variants__x__critic_steps=2)
    assert name_run("x", {}) == "x: training.log_steps=4, batch_size=32, images.quick=6, 1 more"


def test_what_changes_no_training_is_not_in_the_name(repository: Path) -> None:
    change(tracking__enabled=False, training__seeds=[1], variants__x__summary="more", variants__x__images__full=1)
    assert find_changes("x") == []


def test_a_new_variant_is_called_by_its_name(repository: Path) -> None:
    change(variants__z=PARAMS["variants"]["x"])
    assert find_changes("z") == []
    assert find_changes("classifier") == []


def test_an_experiment_is_compared_with_its_baseline(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    baseline = git("rev-parse", "HEAD")
    change(variants__x__batch_size=16)
    commit("as a temporary copy of the repository may have it")
    assert find_changes("x") == []
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", baseline)
    assert find_changes("x") == ["batch_size=16"]
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)  # that git does not know
    assert find_changes("x") == []


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "x: 2000-99-99"])
def test_a_file_that_is_no_mapping_gives_no_names_and_no_texts(text: str, repository: Path) -> None:
    Path("params.yaml").write_text(text)
    assert name_run("x", {}) == "x"
    assert read_texts("x") == {}
    Path("params.yaml").unlink()
    assert read_texts("x") == {}


def test_texts_are_those_of_the_variant(repository: Path) -> None:
    assert read_texts("x")["summary"] == "a GAN"
    assert read_texts("classifier") == {}


def test_keys_of_all_levels_are_joined_by_dots() -> None:
    nested = {"a": {"b": {"c": 1}, "d": [2, {"e": 3}]}, "f": None, "g": {}}
    assert flatten(nested) == {"a.b.c": 1, "a.d": [2, {"e": 3}], "f": None}
