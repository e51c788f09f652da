"""Descriptions of runs and builds."""

from pathlib import Path
from typing import Any

import pytest

from stages.tracking.descriptions import END, LONGEST, describe_build, describe_variant, merge
from tests.conftest import ROOT

SCORES: dict[str, dict[str, Any]] = {
    "recall": {"value": 0.5, "ci95": 0.01, "real": 0.95},
    "fid": {"value": 4.286, "ci95": 0.179, "real": 0.166},
    "class_share": {"value": {"0": 0.1}},
    "duplicates": {"value": 0.0024},
}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_a_training_says_what_its_variant_is() -> None:
    about = describe_variant("dcgan")
    assert about.startswith("**dcgan**: strided convolutions with batch norm (Radford et al., 2016)\n\nNo scores yet.")
    assert describe_variant("classifier") == ""


def test_scores_stand_next_to_the_real_baseline_in_the_order_of_the_report() -> None:
    about = describe_variant("dcgan", SCORES, "3 of 20")
    assert "\n\n**FID 4.29 ± 0.18** (real images: 0.17), rank 3 of 20\n\n" in about
    rows = [line for line in about.splitlines() if line.startswith("| ")][1:]
    assert rows == ["| FID | 4.29 | 0.18 | 0.17 |", "| recall | 0.50 | 0.01 | 0.95 |", "| duplicates | 0.2% |  |  |"]
    assert "rank" not in describe_variant("dcgan", SCORES)


def test_a_build_has_the_ranking() -> None:
    rows = [
        {"variant": "dcgan", "rank": "1", "fid": "4.286", "fid_ci95": "0.179", "validation_fid": "4.1"},
        {"variant": "cyclegan", "rank": "", "fid": "5", "fid_ci95": "", "validation_fid": ""},
    ]
    about = describe_build(rows)
    assert "| 1 | dcgan | 4.29 ± 0.18 | 4.10 |\n|  | cyclegan | 5.00 ± – | – |" in about
    assert len(describe_build(rows * 200)) < LONGEST + 500


def test_what_people_wrote_stays() -> None:
    first = merge(f"first{END}", "")
    assert first == f"first{END}"
    assert merge(f"second{END}", f"{first}mine, too") == f"second{END}mine, too"
    assert merge(f"second{END}", "mine alone") == f"second{END}mine alone"
    assert merge(f"second{END}", first.strip()) == f"second{END}"  # as an editor may leave it
    scored = describe_variant("dcgan", SCORES)  # with a table, whose rules are no lines
    assert merge(scored, f"{scored}mine") == f"{scored}mine"


def test_nothing_is_described_without_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert describe_variant("dcgan", SCORES) == ""
