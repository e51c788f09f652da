"""Builds in fresh clones of HEAD, and what differs between two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ruamel.yaml import YAML
from safetensors.numpy import load_file

from stages.storage.paths import TEMPORARY
from tests.conftest import clone_repository, commit_all, set_parameter, set_parameters

OUTPUTS = ("dvc.lock", "data", "models", "metrics")


def smoke_clone(target: Path, variants: Sequence[str] = ()) -> Path:
    """A clone in the smoke budget with these variants (none: all), whose trainings write down their state often."""
    clone = clone_repository(target)
    set_parameters(clone, {"budget": "smoke", "sample.count": 1000, "resume.every_seconds": 0.2})
    if variants:
        every = YAML().load(clone / "params.yaml")["variants"]
        set_parameter(clone, "variants", {name: every[name] for name in variants})
    commit_all(clone, "smoke budget")
    return clone


def hashes(repository: Path) -> dict[str, str]:
    """SHA-256 of every output, by its path."""
    roots = [repository / name for name in OUTPUTS]
    files = [file for root in roots for file in ([root] if root.is_file() else root.rglob("*")) if file.is_file()]
    return {
        str(file.relative_to(repository)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name != ".gitignore" and file.suffix != TEMPORARY
    }


def differences(one: Path, other: Path) -> Iterator[str]:
    """Outputs that differ between two builds, in the order of their stages: stage, file, and which tensor."""
    hashes_of_one, hashes_of_other = hashes(one), hashes(other)
    stages = YAML(typ="safe").load(one / "dvc.lock")["stages"]
    paths = hashes_of_one.keys() | hashes_of_other.keys()
    for stage, content in stages.items():
        for out in content.get("outs", []):
            for path in sorted(path for path in paths if path == out["path"] or path.startswith(f"{out['path']}/")):
                if hashes_of_one.get(path) != hashes_of_other.get(path):
                    yield f"{stage}: {path}{_first_tensor(one / path, other / path)}"
    named = {out["path"] for content in stages.values() for out in content.get("outs", [])} | {"dvc.lock"}
    for path in sorted(hashes_of_one.keys() ^ hashes_of_other.keys()):
        if not any(path == out or path.startswith(f"{out}/") for out in named):
            yield f"of no stage: {path}"
    if hashes_of_one["dvc.lock"] != hashes_of_other["dvc.lock"]:
        yield "dvc.lock"


def _first_tensor(one: Path, other: Path) -> str:
    if one.suffix != ".safetensors" or not (one.exists() and other.exists()):
        return ""
    tensors, others = load_file(one), load_file(other)
    names = [name for name, value in tensors.items() if name not in others or value.tobytes() != others[name].tobytes()]
    return f": tensor {names[0]}" if names else ""
