"""What keeps the repository in order: hooks, CI, editor settings, citation. They are valid, and name what exists."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, clone_repository, commit_all, run

MADE_TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read_yaml(name: str) -> Any:
    return YAML(typ="safe", pure=True).load(ROOT / name)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with what mypy remembers of this repository: it checks by content, and half a minute is saved."""
    clone = clone_repository(tmp_path_factory.mktemp("habits") / "reprogan")
    if (ROOT / ".mypy_cache").exists():
        shutil.copytree(ROOT / ".mypy_cache", clone / ".mypy_cache")
    return clone


def pre_commit(clone: Path, cache: Path) -> tuple[int, str]:
    """Exit status and output of all hooks on all files; a network would be of no use."""
    offline = {"PRE_COMMIT_HOME": str(cache), "PIP_NO_INDEX": "1", "https_proxy": "http://127.0.0.1:9"}
    done = run("pre-commit", "run", "--all-files", cwd=clone, check=False, **offline)
    return done.returncode, done.stdout + done.stderr


def test_hooks_pass_here_and_find_what_is_wrong(clone: Path, tmp_path: Path) -> None:
    status, output = pre_commit(clone, tmp_path)
    assert status == 0, output
    assert re.findall(r"^([a-z ]+?)\.+Passed$", output, re.M) == ["ruff check", "ruff format", "mypy"]
    (clone / "stages/wrong.py").write_text('"""Wrong."""\n\nimport os\n\nNUMBER: int = "one"\nTEXT = \'x\'\n')
    commit_all(clone, "wrong")
    status, output = pre_commit(clone, tmp_path)
    assert status == 1
    assert re.findall(r"^([a-z ]+?)\.+Failed$", output, re.M) == ["ruff check", "ruff format", "mypy"]
    assert "F401" in output
    assert "stages/wrong.py:5: error: Incompatible types in assignment" in output
    assert run("git", "status", "--short", cwd=clone).stdout == ""  # hooks check, and change nothing


def test_hooks_are_programs_of_the_environment() -> None:
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert (Path(sys.executable).parent / hook["entry"].split()[0]).exists()


def test_the_workflow_calls_make_targets_that_exist() -> None:
    workflow = read_yaml(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    targets = re.findall(r"\bmake ([\w-]+)", "\n".join(step.get("run", "") for step in steps))
    assert targets == ["test", "repro"]
    assert set(targets) <= MADE_TARGETS
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    (version,) = {step["with"]["python-version"] for step in steps if "python-version" in step.get("with", {})}
    assert PROJECT["requires-python"] == f">={version}"
    for step in steps:  # the shell can read it
        run("bash", "-n", "-c", step.get("run", ""), cwd=ROOT)


def test_pip_installs_what_the_project_needs(clone: Path) -> None:
    """As docs/cluster.md says: `pip install '.[cluster]'`. Here nothing is downloaded or installed."""
    offline = ("--dry-run", "--no-deps", "--no-build-isolation", "--no-index")
    done = run("python", "-m", "pip", "install", *offline, ".[cluster]", cwd=clone)
    assert f"Would install {PROJECT['name']}-{PROJECT['version']}" in done.stdout
    assert run("git", "status", "--short", cwd=clone).stdout == ""


def test_the_citation_is_that_of_the_project() -> None:
    citation = read_yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # required by the format
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert citation["title"].startswith(PROJECT["name"])


def test_the_changelog_names_the_version() -> None:
    sections = re.findall(r"^## \[(.+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert sections[0] == "Unreleased"
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_the_editor_settings_are_those_of_ruff() -> None:
    settings = ConfigParser()
    settings.read_string("[top]\n" + (ROOT / ".editorconfig").read_text())
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert settings["top"]["root"] == "true"
    assert settings["*"]["max_line_length"] == str(ruff["line-length"])
    assert settings["Makefile"]["indent_style"] == "tab"


def test_what_contributors_are_told_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(text.splitlines()) < 100
    targets = set(re.findall(r"`?make ([a-z][a-z-]*)", text))
    assert {"lint", "test", "repro"} <= targets <= MADE_TARGETS
    paths = re.findall(r"\]\(([^)#]+)", text) + re.findall(r"pytest (\S+)", text) + re.findall(r"`(tests/\S+?)`", text)
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = re.findall(r"python -m ([\w.]+)", text)
    assert modules
    assert all((ROOT / f"{module.replace('.', '/')}.py").exists() for module in modules)
