"""What tests share: small data, parameters to spoil, and clones of the repository to run DVC in."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first: a broken unit should not wait for the pipeline. Of two workers one starts with it."""
    items.sort(key=lambda item: "test_pipeline" in str(item.path), reverse="PYTEST_XDIST_WORKER" in os.environ)


def clean_environment() -> dict[str, str]:
    """Variables as in an activated .venv: its programs first on the path, and nothing of DVC, MLflow or git."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "PYTHONPATH", "GIT_"))
    }
    return kept | {"PATH": path, "DVC_NO_ANALYTICS": "1"}


def run(*command: str, cwd: Path, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a clean environment."""
    variables = clean_environment() | env
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def clone_repository(target: Path) -> Path:
    """A clone of the repository at HEAD, with what is not committed yet committed in it."""
    run("git", "clone", "--quiet", str(ROOT), str(target), cwd=ROOT)
    listed = run("git", "ls-files", "-z", "-mo", "--exclude-standard", cwd=ROOT).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
        else:
            (target / name).unlink()
    commit_all(target, "work in progress")
    return target


def commit_all(repository: Path, message: str) -> None:
    """Commit everything that git does not ignore."""
    run("git", "add", "--all", cwd=repository)
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    run("git", *identity, "commit", "--quiet", "--allow-empty", "-m", message, cwd=repository)


def set_parameter(repository: Path, key: str, value: Any) -> None:
    """Change one dotted key of params.yaml, keeping the file's layout."""
    set_parameters(repository, {key: value})


def set_parameters(repository: Path, values: Mapping[str, Any]) -> None:
    """Change several."""
    yaml = YAML()
    path = repository / "params.yaml"
    data = yaml.load(path)
    for key, value in values.items():
        *parents, last = key.split(".")
        node = data
        for parent in parents:
            node = node[parent]
        node[last] = value
    yaml.dump(data, path)


@pytest.fixture(scope="session")
def raw_params() -> Callable[[], Any]:
    """A fresh copy of params.yaml's content at each call."""
    content = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return lambda: copy.deepcopy(content)
