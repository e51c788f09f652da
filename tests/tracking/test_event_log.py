"""What the journal finds out by itself."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.tracking import journal
from tests.conftest import ROOT

LOCK = """schema: '2.0'
stages:
  train@conv:
    cmd: python -m stages.train conv
    deps:
    - path: data/processed/train
      hash: md5
      md5: old.dir
      size: 1
    outs:
    - path: models/conv
      hash: md5
      md5: def.dir
      size: 1
  preprocess:
    cmd: python -m stages.preprocess
    outs:
    - path: data/processed/test
      hash: md5
      md5: ghi.dir
      size: 1
    - path: data/processed/train
      hash: md5
      md5: abc.dir
      size: 1
"""


def test_a_lock_that_is_being_written_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DVC writes dvc.lock in place: whatever is there so far, the digest is the one of the whole file, or unknown."""
    monkeypatch.chdir(tmp_path)
    assert journal._dvc_digest("data/processed/train") == "unknown"
    lock = tmp_path / "dvc.lock"
    with monkeypatch.context() as patch:
        patch.setattr(journal, "LOCK_SECONDS", 0)
        end = LOCK.index("abc.dir\n") + len("abc.dir\n")
        for length in range(len(LOCK) + 1):
            lock.write_text(LOCK[:length])
            assert journal._dvc_digest("data/processed/train") == ("abc.dir" if length >= end else "unknown")
    lock.write_text(LOCK[: len(LOCK) // 2])
    finish = threading.Timer(0.3, lambda: lock.write_text(LOCK))
    finish.start()
    assert journal._dvc_digest("data/processed/train") == "abc.dir"
    finish.join()
    assert journal._dvc_digest("data/raw") == "unknown"


def test_digests_are_those_that_a_parser_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stages = YAML(typ="safe").load(ROOT / "dvc.lock")["stages"].values()
    digests = {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}
    assert "data/processed/train" in digests
    assert {path: journal._dvc_digest(path) for path in digests} == digests
