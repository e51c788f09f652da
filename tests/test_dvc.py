"""dvc.yaml is complete, and dvc.lock fits the code that is committed with it.

Imports are followed here, for all variants; tests/pipeline/ watches what stages really read, and which parameters.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from stages.config.components import FOLDERS
from stages.config.params import load
from stages.config.registry import module_names
from tests.conftest import ROOT, clone_repository, run, set_parameter

# Modules that a stage imports but does not depend on, with the reason why an edit cannot change an output.
EXEMPT = {
    "stages.tracking": "observers: they receive numbers and give none back",
    "stages.config": "can only refuse: no model has a default or converts (tests/config/test_params.py)",
}
NAMES_ALONE = {"check"}  # stages that look at which files a folder has, and not at what is in them
EVERY_SCORE = [f"stages.scoring.{name}" for name in module_names("scoring")]  # `find_scores` imports them all


def pipeline() -> dict[str, Any]:
    """Every stage by name, as DVC resolves dvc.yaml."""
    return {stage.addressing: stage for stage in Repo(ROOT).index.stages}


STAGES = pipeline()
TEMPLATES = sorted({name.split("@")[0] for name in STAGES})  # the variants of a `foreach` share one list of deps
PARAMS = load(ROOT / "params.yaml")


def module_file(module: str) -> Path | None:
    """The file of a module of ours; None for what is not ours, a package or a name inside a module."""
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return file if module.startswith("stages.") and file.exists() else None


@functools.cache
def imported(file: Path) -> set[str]:
    """Every module of ours that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module or ""]
        else:
            continue
        found |= {name for name in names if module_file(name)}
    return found


def is_exempt(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in EXEMPT)


def closure(modules: list[str]) -> set[Path]:
    """Files of modules and of all they import, directly or not, save what is exempt."""
    files: set[Path] = set()
    while modules:
        module = modules.pop()
        file = module_file(module)
        assert file, f"{module} does not exist"
        if file not in files and not is_exempt(module):
            files.add(file)
            modules += imported(file)
    return files


def modules_of(stage: Any) -> list[str]:
    """The command's module, and those that it finds by names in params.yaml or by looking into a folder."""
    python, flag, module, *arguments = stage.cmd.split()
    assert (python, flag) == ("python", "-m")
    roles = {"stages.train": list(FOLDERS), "stages.sample": ["gan", "network"]}.get(module, [])
    found = [f"stages.{FOLDERS[role]}.{getattr(PARAMS.variants[arguments[0]], role).name}" for role in roles]
    if module in ("stages.fetch", "stages.preprocess"):
        found = [f"stages.datasets.{PARAMS.dataset}"]
    if module in ("stages.reference", "stages.evaluate", "stages.report"):
        found = EVERY_SCORE
    return [module, *found]


def declared_code(stage: Any) -> dict[Path, set[Path]]:
    """The files of each of a stage's dependencies on code."""
    paths = [ROOT / str(dependency) for dependency in stage.deps]
    return {
        path: {path} if path.suffix else set(path.glob("*.py")) - {path / "__init__.py"}
        for path in paths
        if path.is_relative_to(ROOT / "stages")
    }


@pytest.mark.parametrize("name", sorted(STAGES))
def test_all_imported_code_is_declared(name: str) -> None:
    imports = closure(modules_of(STAGES[name]))
    assert len(imports) > 2
    undeclared = imports - set().union(*declared_code(STAGES[name]).values())
    assert not undeclared


@pytest.mark.parametrize("template", TEMPLATES)
def test_all_declared_code_is_imported(template: str) -> None:
    """Each file, also in a folder, is used by a stage of the template: in a `foreach`, by at least one variant's."""
    stages = [stage for name, stage in STAGES.items() if name.split("@")[0] == template]
    imports = set().union(*(closure(modules_of(stage)) for stage in stages))
    code = [item for stage in stages for item in declared_code(stage).items()]
    declared = set().union(*(files for path, files in code if path.suffix or template not in NAMES_ALONE))
    assert declared
    assert declared - imports == set()


def test_package_files_hold_a_docstring_and_nothing_else() -> None:
    for file in (ROOT / "stages").glob("*/__init__.py"):
        tree = ast.parse(file.read_text())
        assert len(tree.body) == 1, file
        assert ast.get_docstring(tree), file


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone: no data, no models, no cache."""
    return clone_repository(tmp_path_factory.mktemp("clean") / "reprogan")


def test_the_lock_is_true(clone: Path) -> None:
    done = run("dvc", "repro", "--dry", "--allow-missing", cwd=clone)
    assert "Running stage" not in done.stdout + done.stderr
    assert "ERROR" not in done.stdout + done.stderr


def test_a_changed_parameter_makes_the_lock_untrue(clone: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    run("git", "clone", "--quiet", str(clone), str(changed), cwd=tmp_path)
    set_parameter(changed, "budget", "full")
    done = run("dvc", "repro", "--dry", "--allow-missing", cwd=changed, check=False)
    assert "failed to reproduce 'classifier'" in done.stderr  # it would run, and there is nothing to run it on


def test_no_registry_host_and_no_path_of_a_machine_in_the_lock_file() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--index" not in text


def test_no_dependency_lies_within_an_output() -> None:
    """`dvc exp run` would look it up in the output's directory of before, which no cache or remote may have."""
    outs = {Path(out.def_path) for stage in STAGES.values() for out in stage.outs}
    deps = {Path(dep.def_path) for stage in STAGES.values() for dep in stage.deps if "stages" not in dep.def_path}
    assert len(outs) > 200
    assert len(deps) > 50
    assert [dep for dep in deps if outs & set(dep.parents)] == []
