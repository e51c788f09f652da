"""States on disk: when they are due, what comes back, what they may cost."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from stages.storage.files import write_bytes
from stages.storage.images import Split, data_digest
from stages.training import checkpoints
from stages.training.checkpoints import Checkpoints, hash_files, key_of


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
    assert saved.latest() is None
    saved.save(8, tensors, rows)
    tensors["a"] += 1  # as the next step does
    saved.save(16, tensors, rows)
    found = Checkpoints("x", "key", 30).latest()
    assert found is not None
    assert found[1] == rows
    assert found[0].keys() == tensors.keys()
    assert all(torch.equal(found[0][name], tensor) for name, tensor in tensors.items())
    assert Checkpoints("x", "other", 30).latest() is None
    saved.remove()
    assert Checkpoints("x", "key", 30).latest() is None


def test_checkpoints_are_due_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_slow_disk_is_asked_less_often_only_while_it_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clock = Clock()
    monkeypatch.setattr(checkpoints, "time", clock)
    states = Checkpoints("x", "key", 30)

    def write_in(seconds: float) -> Callable[[Path, bytes], None]:
        def write(path: Path, content: bytes) -> None:
            clock.now += seconds

        return write

    for seconds, pause in ((3.0, 100), (0.0, 30)):
        monkeypatch.setattr(checkpoints, "write_bytes", write_in(seconds))
        states.save(1, {}, [])
        saved = clock.now
        clock.now = saved + pause - 0.1
        assert not states.is_due()
        clock.now = saved + pause + 0.1
        assert states.is_due()


@pytest.mark.parametrize("last_byte", [b"", b"\xff"])  # cut off, or another one
def test_a_spoilt_checkpoint_is_passed_over_for_the_one_before(
    last_byte: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    states = Checkpoints("x", "key", 30)
    for seen in (1, 2, 3):
        states.save(seen, {"seen": torch.tensor(seen)}, [])
    older, newer = sorted(states.folder.iterdir())  # two are kept
    newer.write_bytes(newer.read_bytes()[:-1] + last_byte)
    found = states.latest()
    assert found is not None
    assert int(found[0]["seen"]) == 2
    assert f"{newer}: passed over" in capsys.readouterr().err
    older.write_bytes(b"")
    assert states.latest() is None


def test_what_was_left_behind_long_ago_goes_with_the_next_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    old, recent, done = (Checkpoints("x", key, 30) for key in ("old", "recent", "done"))
    for states in (old, recent, done):
        states.save(1, {}, [])
    os.utime(old.folder, (0, 0))
    done.remove()
    assert [folder.name for folder in recent.folder.parent.iterdir()] == ["recent"]
    recent.remove()
    assert not recent.folder.parent.exists()


def test_the_key_changes_with_all_that_a_training_depends_on() -> None:
    keys = {
        key_of({"seed": 0}, "code", "data", {"torch": "2.11.0"}),
        key_of({"seed": 1}, "code", "data", {"torch": "2.11.0"}),
        key_of({"seed": 0}, "other code", "data", {"torch": "2.11.0"}),
        key_of({"seed": 0}, "code", "other data", {"torch": "2.11.0"}),
        key_of({"seed": 0}, "code", "data", {"torch": "2.12.0"}),
    }
    assert len(keys) == 5
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


def test_the_digest_of_data_changes_with_values_shapes_and_labels() -> None:
    images, labels = np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2), np.arange(2)
    splits = [
        Split(images, labels, ("a", "b")),
        Split(images + 1, labels, ("a", "b")),
        Split(images.reshape(2, 1, 1, 4), labels, ("a", "b")),
        Split(images, labels[::-1], ("a", "b")),
    ]
    assert len({data_digest(split) for split in splits}) == 4


def test_what_only_looks_like_a_checkpoint_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its hash fits its content, as it would in a file that somebody planted."""
    monkeypatch.chdir(tmp_path)
    states = Checkpoints("x", "key", 30)
    states.save(1, {"seen": torch.tensor(1)}, [])
    no_metadata = save({"seen": torch.tensor(2)})
    for seen, content in ((2, no_metadata), (3, b"\x80\x04N."), (4, b"")):
        write_bytes(states.folder / f"{seen:012d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors", content)
    found = states.latest()
    assert found is not None
    assert int(found[0]["seen"]) == 1
    assert capsys.readouterr().err.count("passed over") == 3


def test_the_hash_of_files_is_that_of_their_content(tmp_path: Path) -> None:
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    found = []
    for contents in (("1", "2"), ("1", "3"), ("12", ""), ("1", "2")):
        for file, content in zip(files, contents, strict=True):
            file.write_text(content)
        found.append(hash_files(files))
    assert found[0] == found[3]
    assert len(set(found)) == 3
