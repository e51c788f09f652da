"""What tests share: small data, parameters to spoil, and clones of the repository to run DVC in."""

from __future__ import annotations

import copy
import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from stages.config.params import Params, load
from stages.storage.images import Split, write_split

ROOT = Path(__file__).parent.parent

FEW_IMAGES = {  # all stages in little time, on images of one's own: they take as long as it takes to import torch
    "budget": "smoke",
    "dataset": "image_folder",
    "preprocess.image_size": 12,
    "classifier.feature_size": 8,
    "classifier.images.smoke": 256,
    "training.snapshots": 2,
    "training.snapshot_images": 20,
    "sample.count": 20,
    "evaluate.inception_splits": 2,
    "evaluate.kid_subset_size": 10,
    "evaluate.copies_samples": 10,
}

# whose tests build, serve or kill things, the longest first: workers that begin with these end at about the same time
SLOW = (
    *("test_first_build", "test_fan_out", "test_store_faults", "test_restore", "test_examples", "test_servers"),
    *("test_rebuilds", "test_experiments", "test_changes", "test_tour", "test_stacked_mnist", "test_exporter"),
    *("test_ready_for_gpu", "test_launch", "test_habits", "test_model_registry", "test_mlflow_exporter", "test_ui"),
    *("test_processes", "test_threads", "test_onnx_export", "test_store", "test_scoring", "test_kill", "test_repair"),
    *("test_build", "test_fetch", "test_served_model"),
)


def pytest_unconfigure() -> None:
    gc.unfreeze()  # commands that ran in this process froze what it had; libraries name at its end what is not gone


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first: a broken unit should not wait for the pipeline. Workers begin with the slow ones."""
    places = {name: place for place, name in enumerate(SLOW)}
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    items.sort(key=lambda item: places.get(item.path.stem, len(SLOW)) * (1 if is_worker else -1))


def clean_environment() -> dict[str, str]:
    """Variables as in an activated .venv: its programs first on the path, nothing of DVC, MLflow, git or make.

    Bytecode is written: without it each process would compile the project's modules anew.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    in_make = ("MAKE", "MFLAGS")  # `make test` would speak in a test's make
    others = ("DVC_", "MLFLOW_", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "GIT_", *in_make)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(others)}
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
    run("git", "checkout", "--quiet", "--orphan", "tested", cwd=target)  # DVC packs all history for each experiment
    changed = run("git", "diff", "--name-only", "--no-renames", "-z", "HEAD", cwd=ROOT).stdout
    unknown = run("git", "ls-files", "-z", "--others", "--exclude-standard", cwd=ROOT).stdout
    for name in filter(None, (changed + unknown).split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
        else:
            (target / name).unlink()
    commit_all(target, "work in progress")
    return target


def clone_of_one_variant(target: Path) -> Path:
    """A clone in which DVC has fewer stages to look at."""
    clone = clone_repository(target)
    set_parameter(clone, "variants", {"mlp": YAML().load(clone / "params.yaml")["variants"]["mlp"]})
    commit_all(clone, "one variant")
    return clone


def commit_all(repository: Path, message: str) -> None:
    """Commit everything that git does not ignore."""
    run("git", "add", "--all", cwd=repository)
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    run("git", *identity, "commit", "--quiet", "--allow-empty", "-m", message, cwd=repository)


def set_parameter(repository: Path, key: str, value: Any) -> None:
    """Change one dotted key of params.yaml."""
    set_parameters(repository, {key: value})


def set_parameters(repository: Path, values: Mapping[str, Any]) -> None:
    """Change several; the file keeps the form in which DVC writes it. What git has of other variants goes."""
    yaml = YAML()
    yaml.default_flow_style = False
    path = repository / "params.yaml"
    data = yaml.load(path)
    for key, value in values.items():
        put(data, key, value)
    yaml.dump(data, path)
    for folder in (repository / "metrics/variants").glob("*"):
        if folder.name not in data["variants"]:  # git holds them; the report refuses those of no variant
            shutil.rmtree(folder)
    lock = repository / "dvc.lock"
    if lock.exists():  # DVC reads and writes it whole for each stage
        blocks = re.split(r"^(?=  \S)", lock.read_text(), flags=re.M)
        kept = [block for block in blocks if not (of := re.match(r"  .*@(.+):\n", block)) or of[1] in data["variants"]]
        lock.write_text("".join(kept))


def put(data: Any, key: str, value: Any) -> None:
    """Set one dotted key of nested mappings."""
    *parents, last = key.split(".")
    for parent in parents:
        data = data[parent]
    data[last] = value


@pytest.fixture(scope="session")
def raw_params() -> Callable[[], Any]:
    """A fresh copy of params.yaml's content, as plain data, at each call."""
    content = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    return lambda: copy.deepcopy(content)


@pytest.fixture
def small_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """In an empty folder, two dozen coloured images of 12 × 12 to train every variant on for five steps, untracked."""
    params = load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (24, 3, 12, 12), np.uint8)
    for name in ("train", "test"):
        write_split(name, Split(images, np.arange(24) % 4, ("a", "b", "c", "d")))
    variants = {}
    for name, variant in params.variants.items():
        changes: dict[str, Any] = {"batch_size": 8, "images": variant.images.model_copy(update={"smoke": 40})}
        if name == "cyclegan":  # its pool is full, and used, after two steps
            changes["gan"] = variant.gan.model_copy(update={"pool_size": 9})
        variants[name] = variant.model_copy(update=changes)
    training = {"log_steps": 3, "snapshots": 2, "snapshot_images": 5}
    changes = {
        "budget": "smoke",
        "device": "cpu",
        "training": params.training.model_copy(update=training),
        "sample": params.sample.model_copy(update={"count": 11}),
        "tracking": params.tracking.model_copy(update={"enabled": False}),
        "variants": variants,
    }
    return params.model_copy(update=changes)
