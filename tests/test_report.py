"""The report shows every declared score without torch, and refuses what removed variants left behind."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from stages.config.errors import StageError
from stages.report import refuse_leftovers
from tests.conftest import ROOT, run
from tests.reporting.records import model, record

SCORE_FILE = '''
from stages.scoring.score import Context, Estimate, ImageSet, score


@score(format=".1%", position=1)
def sharpness(images: ImageSet, context: Context) -> Estimate:
    """How sharp."""
    return Estimate(0.5)
'''
COMMAND = """
import runpy, sys
runpy.run_module("stages.report", run_name="__main__")
assert "torch" not in sys.modules
"""


def build(folder: Path, params: Any, fids: dict[str, list[float]], sharpness: float) -> None:
    """The code, and what evaluate and sample write of variants with a model a FID; sharpness is a score of theirs."""
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    params["tracking"]["enabled"] = False
    params["variants"] = {name: params["variants"][name] for name in fids}
    YAML(typ="safe", pure=True).dump(params, folder / "params.yaml")
    for name, of_seeds in fids.items():
        models = [model(fid=fid, sharpness=sharpness) for fid in of_seeds]
        write(folder / f"metrics/scores/{name}.json", {"models": models, "failures": []})
        samples = folder / "data/samples" / name / "images.npy"
        samples.parent.mkdir(parents=True)
        np.save(samples, np.zeros((30, 1, 28, 28), np.uint8))
    write(folder / "data/reference/real.json", {"scores": {"sharpness": record(0.75, 0.01)}})


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_a_score_in_a_new_file_shows_everywhere_and_torch_is_not_imported(
    tmp_path: Path, raw_params: Callable[[], Any]
) -> None:
    build(tmp_path, raw_params(), {"mlp": [3.0, 5.0], "cgan": [2.0]}, sharpness=0.5)
    (tmp_path / "stages/scoring/sharpness.py").write_text(SCORE_FILE)
    printed = run(sys.executable, "-c", COMMAND, cwd=tmp_path).stdout.splitlines()
    assert [line.split()[:2] for line in printed] == [["1", "cgan"], ["1", "mlp"]]
    with (tmp_path / "metrics/summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["rank"], row["fid"], row["seeds"]) for row in rows] == [
        ("cgan", "1", "2", "1"),
        ("mlp", "1", "4", "2"),
    ]
    assert float(rows[1]["fid_ci95"]) == pytest.approx(12.706, abs=1e-3)  # Student's, of 3 and 5
    assert [row["sharpness"] for row in rows] == ["0.5", "0.5"]
    page = (tmp_path / "metrics/report/variants.md").read_text().splitlines()
    (head,) = [line.split(" | ") for line in page if line.startswith("| variant")]
    column = head.index("sharpness ↓")
    cells = [line.split(" | ")[column] for line in page if line.startswith(("| real images", "| `"))]
    assert cells == ["75.0% ± 1.0%", "50.0%", "50.0%"]
    for picture in ("samples.png", "scores.png"):
        assert (tmp_path / "metrics/report" / picture).read_bytes().startswith(b"\x89PNG")


def test_what_removed_variants_left_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("data/samples/a", "data/samples/b", "metrics/scores"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a", "c"):
        (tmp_path / f"metrics/scores/{name}.json").touch()
    refuse_leftovers({"a", "b", "c"})
    with pytest.raises(StageError, match=r"rm -r data/samples/b metrics/scores/c\.json$"):
        refuse_leftovers({"a"})
