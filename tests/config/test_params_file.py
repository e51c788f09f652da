"""params.yaml in the form in which DVC writes it: what `-S` changes is one value, in a few lines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from stages.config.params import load
from tests.conftest import ROOT, put, run, set_parameters


def leaves(data: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of all values that are no mapping."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def spell(value: Any) -> str:
    """A value as `-S` takes it."""
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, list):
        return f"[{','.join(map(spell, value))}]"
    return json.dumps(value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of params.yaml."""
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def test_it_is_short(raw_params: Callable[[], Any]) -> None:
    assert len((ROOT / "params.yaml").read_text().splitlines()) <= 80 + 17 * len(raw_params()["variants"])


def test_every_value_can_be_set_and_set_to_what_it_is_changes_no_byte(
    file: Path, raw_params: Callable[[], Any]
) -> None:
    before = file.read_bytes()
    overrides = [f"{key}={spell(value)}" for key, value in leaves(raw_params())]
    assert len(overrides) > 500
    apply_overrides(file, overrides)
    assert file.read_bytes() == before


def test_tests_write_it_as_dvc_does(file: Path) -> None:
    before = file.read_bytes()
    set_parameters(file.parent, {"budget": "quick"})
    assert file.read_bytes() == before


EXAMPLES = [
    ("budget", "smoke"),
    ("training.seeds", [0, 1, 2]),
    ("training.ema_rampup", None),
    ("variants.dcgan.batch_size", 32),
    ("variants.dcgan.optimizers.generator.learning_rate", 1e-05),
    ("variants.dcgan.network.generator_norm", "none"),
    ("variants.dcgan.network.latent_size", 1000),
    ("variants.mlp.network.generator_widths", [128, 256, 512]),
]


@pytest.mark.parametrize(("key", "value"), EXAMPLES, ids=[key for key, _ in EXAMPLES])
def test_setting_one_value_changes_it_alone_and_at_most_three_lines(
    key: str, value: Any, file: Path, raw_params: Callable[[], Any]
) -> None:
    apply_overrides(file, [f"{key}={spell(value)}"])
    expected = raw_params()
    put(expected, key, value)
    assert expected != raw_params()
    assert load(file, components=False).model_dump() == expected
    difference = run(
        "git", "diff", "--no-index", "--numstat", str(ROOT / "params.yaml"), str(file), cwd=ROOT, check=False
    )
    added, removed, _ = difference.stdout.split(maxsplit=2)
    assert max(int(added), int(removed)) <= 3
