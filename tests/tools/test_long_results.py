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
from tests.conftest import ROOT
from tests.tools import long_results
from tests.tools.long_results import FOLDER, PAGE, PLOT, TABLE, draw_curves, read, write_table

VARIANTS = 25  # that were built; a newer one may have no results yet


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


def test_the_plot_has_a_line_a_variant_up_to_ten_minutes(tmp_path: Path) -> None:
    curves = read("scores.csv")
    images = [[int(row["images"]) for row in rows] for _, rows in groupby(curves, itemgetter("variant"))]
    assert len(images) == VARIANTS
    assert all(len(of_one) == 20 and of_one == sorted(set(of_one)) for of_one in images)
    draw_curves(curves, tmp_path / "plot.png")
    drawn, committed = (np.asarray(Image.open(path), float) for path in (tmp_path / "plot.png", FOLDER / PLOT))
    assert drawn.std() > 20
    assert np.abs(drawn - committed).mean() < 0.1  # of 255 levels
