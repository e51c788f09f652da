"""The report ranks what params.yaml lists."""

from __future__ import annotations

from typing import Any

from stages.report import summarise


def evaluation(fid: float) -> dict[str, Any]:
    return {
        "scores": {"fid": fid, "sample_count": 5, "class_share": {"0": 0.9, "1": 0.1}},
        "parameters": {"generator": 3, "discriminator": 4},
    }


def test_the_lowest_fid_comes_first_and_ties_share_a_rank() -> None:
    summary = summarise({"a": evaluation(3.0), "b": evaluation(1.0), "c": evaluation(3.0)})
    assert summary["variant"].tolist() == ["b", "a", "c"]
    assert summary["rank"].tolist() == [1, 2, 2]
    assert summary["smallest_class_share"].tolist() == [0.1] * 3
    assert "class_share" not in summary
