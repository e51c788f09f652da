"""The page of the long budget follows its files."""

from __future__ import annotations

import re
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.config.params import load
from stages.storage.files import write_json
from tests.conftest import ROOT
from tests.tools import long_results
from tests.tools.long_results import (
    FOLDER,
    PAGE,
    PLOT,
    REAL,
    SEEDS,
    SEEDS_TABLE,
    TABLE,
    draw_curves,
    find_seeds,
    read,
    write_seeds_table,
    write_table,
)

VARIANTS = 25  # that were built; a newer one may have no results yet
SEVERAL = 7  # that have several seeds


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_table_of_the_page_is_that_of_the_summary() -> None:
    (table,) = TABLE.findall(PAGE.read_text())
    assert table == write_table(read("summary.csv"))
    built = re.findall(r"^\| [-\d]+ \| `(\w+)` \|", table, re.MULTILINE)
    assert len(set(built)) == len(built) == VARIANTS
    assert set(built) <= set(load(components=False).variants)


def test_ranks_come_first_and_intervals_are_shown() -> None:
    columns = dict.fromkeys(long_results.COLUMNS, "0.5") | {f"{name}_real": "0.9" for name in long_results.COLUMNS}
    rows = [
        {"variant": "translator", "rank": "", **columns},
        {"variant": "best", "rank": "1", **columns, "fid_ci95": "0.125"},
    ]
    *_, real, best, translator = write_table(rows).splitlines()
    assert real.startswith("| | real images | 0.90 |")
    assert best.startswith("| 1 | `best` | 0.50 ± 0.12 | 0.50 |")
    assert translator.startswith("| - | `translator` | 0.50 |")


def test_the_table_of_seeds_is_that_of_its_file() -> None:
    (table,) = SEEDS_TABLE.findall(PAGE.read_text())
    models = read(SEEDS)
    assert table == write_seeds_table(models)
    of_first_seed = {row["variant"]: row["fid"] for row in read("summary.csv")}
    for name, rows in groupby(models, itemgetter("variant")):
        seeds = {row["seed"]: row["fid"] for row in rows}
        assert list(seeds) == ["0", "1", "2"]
        assert seeds["0"] == of_first_seed[name]
    assert len(models) == 3 * SEVERAL


def test_seeds_have_students_interval_and_separate_ranks() -> None:
    fids = {"good": (1, 2, 3), "near": (2, 3, 4), "far": (10, 10, 10)}
    columns = dict.fromkeys(long_results.COLUMNS, "0.5")
    models = [{"variant": name, **columns, "fid": str(fid)} for name, of_one in fids.items() for fid in of_one]
    lines = write_seeds_table(models).splitlines()[2:]
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| 1", "`good`", "2.00 ± 2.48"],  # 4.303 standard errors
        ["| 1", "`near`", "3.00 ± 2.48"],
        ["| 3", "`far`", "10.00 ± 0.00"],
    ]
    assert lines[0].endswith("| 1.00, 2.00, 3.00 |")


def test_variants_with_several_seeds_are_found_in_all_clones(tmp_path: Path) -> None:
    scores = {score: {"value": 0.25} for score in long_results.COLUMNS}
    built = [("a", "dcgan", [0], "long"), ("b", "dcgan", [1, 2], "long"), ("a", "mlp", [0], "long")]
    for clone, name, seeds, budget in [*built, ("b", "mlp", [0, 1], "quick")]:
        models = [{"seed": seed, "scores": scores, "run": {"budget": budget}} for seed in seeds]
        write_json(tmp_path / clone / "metrics/variants" / name / "scores.json", {"models": models})
    found = find_seeds([tmp_path / "b", tmp_path / "a"])
    assert [(row["variant"], row["seed"], row["fid"]) for row in found] == [("dcgan", seed, 0.25) for seed in range(3)]


def test_the_plot_has_a_line_a_variant_up_to_ten_minutes(tmp_path: Path) -> None:
    curves = read("scores.csv")
    images = [[int(row["images"]) for row in rows] for _, rows in groupby(curves, itemgetter("variant"))]
    assert len(images) == VARIANTS
    assert all(len(of_one) == 20 and of_one == sorted(set(of_one)) for of_one in images)
    (real,) = REAL.findall(PAGE.read_text())
    draw_curves(curves, read("summary.csv"), float(real), tmp_path / "plot.png")
    drawn, committed = (np.asarray(Image.open(path), float) for path in (tmp_path / "plot.png", FOLDER / PLOT))
    assert drawn.std() > 20
    assert np.abs(drawn - committed).mean() < 0.1  # of 255 levels
