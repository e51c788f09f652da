"""States on disk: when they are due, what comes back, what they may cost."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

from stages.adversarial import checkpoints
from stages.adversarial.checkpoints import CODE, Checkpoints, key_of
from tests.conftest import run


class Clock:
    """A clock that stands still unless it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_tensors_and_value_come_back_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tensors = {"a": torch.randn(3, 2, 4, 4).to(memory_format=torch.channels_last), "b": torch.get_rng_state()}
    rows = [{"images": 8, "loss": 0.1 + 0.2}]
    saved = Checkpoints("x", "key", 30)
    assert saved.newest() is None
    saved.save(8, tensors, rows)
    tensors["a"] += 1  # as the next step does
    saved.save(16, tensors, rows)
    found = Checkpoints("x", "key", 30).newest()
    assert found is not None
    assert found[1] == rows
    assert found[0].keys() == tensors.keys()
    assert all(torch.equal(found[0][name], tensor) for name, tensor in tensors.items())
    assert Checkpoints("x", "other", 30).newest() is None
    saved.remove()
    assert Checkpoints("x", "key", 30).newest() is None


def test_states_are_due_by_time_and_take_at_most_three_percent_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clock = Clock()
    monkeypatch.setattr(checkpoints, "time", clock)
    states = Checkpoints("x", "key", 30)
    clock.now = 29.9
    assert not states.is_due()
    clock.now = 30
    assert states.is_due()
    states.save(1, {}, [])  # at once
    clock.now = 59.9
    assert not states.is_due()
    clock.now = 60

    def slowly(path: Path, content: bytes) -> None:
        clock.now += 3

    monkeypatch.setattr(checkpoints, "write_bytes", slowly)
    states.save(2, {}, [])
    clock.now = 63 + 99.9
    assert not states.is_due()
    clock.now = 63 + 100.1
    assert states.is_due()


def test_the_key_changes_with_all_that_a_training_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    data = torch.arange(4)
    keys = {
        key_of({"seed": 0}, data),
        key_of({"seed": 1}, data),
        key_of({"seed": 0}, data + 1),
    }
    monkeypatch.setattr(torch, "__version__", "another")
    keys.add(key_of({"seed": 0}, data))
    assert len(keys) == 4
    assert key_of({"a": 1, "b": 2}, data) == key_of({"b": 2, "a": 1}, data)


def test_the_key_changes_with_the_code_of_the_command_itself(tmp_path: Path) -> None:
    """Run as a command, a module is called __main__."""
    shutil.copytree(CODE, tmp_path / "stages")
    command = tmp_path / "stages" / "command.py"
    text = "from stages.adversarial.checkpoints import key_of\nprint(key_of({}))\n"
    printed = []
    for source in (text, f"{text}# a change\n", text):
        command.write_text(source)
        printed.append(run(sys.executable, "-m", "stages.command", cwd=tmp_path).stdout)
    assert printed[0] == printed[2] != printed[1]
