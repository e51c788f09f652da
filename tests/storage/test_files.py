"""Writing: whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from stages.config.errors import StageError
from stages.storage import files
from stages.storage.files import (
    flatten,
    one_line,
    read_array,
    read_json,
    rounded,
    scratch_array,
    sha256,
    socket_timeout,
    write_array,
    write_bytes,
    write_csv,
    write_json,
)
from stages.storage.weights import read_tensors


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file"
    write_bytes(path, b"old")

    def disk_full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space") as error:
        write_bytes(path, b"new")
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [child.name for child in path.parent.iterdir()] == ["file"]


def test_json_has_one_form_and_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": 2.5})
    assert (tmp_path / "a").read_text() == '{\n  "a": 2.5,\n  "b": 1\n}\n'
    assert read_json(tmp_path / "a") == {"a": 2.5, "b": 1}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b", float("nan"))
    assert not (tmp_path / "b").exists()


def test_computed_numbers_lose_what_processors_disagree_on_and_parameters_lose_nothing(tmp_path: Path) -> None:
    epyc, other = {"8": 0.712595972}, {"8": np.float64(0.712595973)}  # a FID, by two kinds of processor
    for found in (rounded({"of": [epyc, 1 / 3, 3, "3"]}), rounded({"of": (other, 1 / 3, 3, "3")})):
        assert found == {"of": [{"8": 0.712596}, 0.333333, 3, "3"]}
    rate = 0.1 + 0.2
    write_json(tmp_path / "a", {"rate": rate})
    assert read_json(tmp_path / "a") == {"rate": rate}


def test_arrays_come_back_and_pickles_do_not(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    write_array(tmp_path / "a.npy", array)
    assert np.array_equal(read_array(tmp_path / "a.npy"), array)
    np.save(tmp_path / "b.npy", np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    with pytest.raises(StageError, match=r"b\.npy"):
        read_array(tmp_path / "b.npy")
    with pytest.raises(ValueError, match="allow_pickle"):
        write_array(tmp_path / "c.npy", np.array([{"an": "object"}], dtype=object))


def test_a_mapped_array_is_read_where_it_is_used_and_its_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    write_array(path, np.arange(6))
    before = path.read_bytes()
    mapped = read_array(path, mapped=True)
    assert isinstance(mapped, np.memmap)
    mapped[0] = 9
    assert mapped.tolist() == [9, 1, 2, 3, 4, 5]
    assert path.read_bytes() == before


def test_a_large_scratch_array_is_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "LARGEST_IN_MEMORY", 99)
    small, large = scratch_array((99,), np.uint8), scratch_array((5, 20), np.uint8)
    assert not isinstance(small, np.memmap)
    assert isinstance(large, np.memmap)
    assert not large.any()
    large[2] = 7
    assert large.sum() == 140
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_csv_rounds_floats_and_keeps_integers(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["images", "loss"], [{"images": 1234567, "loss": 1 / 3}])
    assert (tmp_path / "a.csv").read_text() == "images,loss\n1234567,0.333333\n"


def test_what_a_row_lacks_stays_empty(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["a", "b"], [{"a": 1}, {"b": 2}])
    assert (tmp_path / "a.csv").read_text() == "a,b\n1,\n,2\n"


def test_missing_files_are_named(tmp_path: Path) -> None:
    for read in (read_array, read_json, sha256, read_tensors):
        with pytest.raises(StageError, match="nowhere"):
            read(tmp_path / "nowhere")


def test_a_hash_is_of_the_content(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_keys_of_all_levels_are_joined_by_dots() -> None:
    nested = {"a": {"b": {"c": 1}, "d": [2, {"e": 3}]}, "f": None, "g": {}}
    assert flatten(nested) == {"a.b.c": 1, "a.d": [2, {"e": 3}], "f": None}


def test_a_message_is_one_short_line() -> None:
    assert one_line("a\n  b\t" + "c" * 1000) == "a b " + "c" * 296
    assert one_line("") == "no reason given"


def test_a_timeout_counts_within_its_block_alone() -> None:
    before = socket.getdefaulttimeout()
    with contextlib.suppress(ValueError), socket_timeout(7):
        assert socket.getdefaulttimeout() == 7
        raise ValueError
    assert socket.getdefaulttimeout() == before
