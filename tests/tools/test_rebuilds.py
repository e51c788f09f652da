"""What `make verify` and `make chaos` rest on: the first difference between two builds is found and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from safetensors.numpy import save_file

from tests.tools.rebuilds import differences

OUTS = {"fetch": "data/fetched", "train@x": "models/x", "evaluate@x": "metrics/variants/x/scores.json"}


def build(repository: Path) -> Path:
    """A repository with the outputs of three stages."""
    for folder in ("data/fetched", "models/x", "metrics/variants/x"):
        (repository / folder).mkdir(parents=True)
    lock = {"stages": {stage: {"cmd": stage, "outs": [{"path": path}]} for stage, path in OUTS.items()}}
    YAML().dump(lock, repository / "dvc.lock")
    (repository / "data/fetched/images").write_bytes(b"images")
    save_file({"a": np.zeros(3), "b": np.ones(3)}, repository / "models/x/generator.safetensors")
    (repository / "metrics/variants/x/scores.json").write_text("{}")
    return repository


def change(repository: Path, what: str) -> None:
    """Make one output another one."""
    if what == "file":
        (repository / "data/fetched/images").write_bytes(b"imagex")
    elif what == "missing":
        (repository / "metrics/variants/x/scores.json").unlink()
    elif what == "more":
        (repository / "data/fetched/more").touch()
    elif what == "stray":
        (repository / "metrics/stray.csv").touch()
    elif what == "lock":
        (repository / "dvc.lock").write_text((repository / "dvc.lock").read_text() + "# other\n")
    else:
        save_file({"a": np.zeros(3), "b": np.nextafter(np.ones(3), 2)}, repository / "models/x/generator.safetensors")


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("file", "fetch: data/fetched/images"),
        ("more", "fetch: data/fetched/more"),
        ("tensor", "train@x: models/x/generator.safetensors: tensor b"),
        ("stray", "of no stage: metrics/stray.csv"),
        ("missing", "evaluate@x: metrics/variants/x/scores.json"),
        ("lock", "dvc.lock"),
    ],
)
def test_a_difference_is_named_by_stage_file_and_tensor(tmp_path: Path, what: str, named: str) -> None:
    one, other = build(tmp_path / "one"), build(tmp_path / "other")
    assert list(differences(one, other)) == []
    change(other, what)
    assert list(differences(one, other)) == [named]


def test_differences_come_in_the_order_of_the_stages(tmp_path: Path) -> None:
    one, other = build(tmp_path / "one"), build(tmp_path / "other")
    for what in ("missing", "tensor", "file"):
        change(other, what)
    assert [line.split(":")[0] for line in differences(one, other)] == ["fetch", "train@x", "evaluate@x"]
