"""The report ranks what params.yaml lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages.report import refuse_leftovers, summarise
from stages.support.errors import StageError


def evaluation(fid: float) -> dict[str, Any]:
    return {
        "scores": {"fid": fid, "sample_count": 5, "class_share": {"0": 0.9, "1": 0.1}},
        "run": {"parameters": {"generator": 3, "discriminator": 4}},
    }


def test_the_lowest_fid_comes_first_and_ties_share_a_rank() -> None:
    summary = summarise({"a": evaluation(3.0), "b": evaluation(1.0), "c": evaluation(3.0)})
    assert summary["variant"].tolist() == ["b", "a", "c"]
    assert summary["rank"].tolist() == [1, 2, 2]
    assert summary["smallest_class_share"].tolist() == [0.1] * 3
    assert "class_share" not in summary


def test_folders_of_removed_variants_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("samples/a", "samples/b", "scores/a"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    refuse_leftovers({"a", "b"})
    with pytest.raises(StageError, match=r"rm -r data/samples/b$"):
        refuse_leftovers({"a"})
