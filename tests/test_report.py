"""The report shows every declared score without torch, and refuses what removed variants left behind."""

import csv
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load, save_file
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from stages.config.errors import StageError
from stages.report import refuse_leftovers, write_curves
from stages.reporting.html_page import tiles
from stages.storage.files import write_csv
from stages.storage.images import grid_png
from stages.storage.paths import CURVE, REPORT, VARIANTS
from tests.browser import console, open_browser
from tests.conftest import ROOT, run
from tests.reporting.records import model, record

SHARES = {"<b>zero</b>": 0.25, "one": 0.75}  # a name that a page must not take for its own
BATCH_SIZES = {"mlp": 8, "cgan": 16, "copy": 8, "lost": 8}
SCORE_FILE = '''
from stages.scoring.score import Context, Estimate, ImageSet, score


@score(format=".1%", position=1)
def sharpness(images: ImageSet, context: Context) -> Estimate:
    """How sharp."""
    return Estimate(0.5)
'''
RANKED = "return [...document.querySelectorAll('#ranked tbody tr')].map(row => row.cells[1].textContent)"
BROKEN_IMAGES = "return [...document.images].filter(image => image.complete && !image.naturalWidth).length"
MOMENT = """
const [label, grid] = ["moment-label", "moment"].map(id => document.getElementById(id));
return [label.textContent, grid.src];
"""
DRAWN = "return document.querySelectorAll('.chart svg').length"
COMMAND = """
import runpy, sys
runpy.run_module("stages.report", run_name="__main__")
assert "torch" not in sys.modules
"""


def build(folder: Path, params: Any, fids: dict[str, list[float]], sharpness: float) -> None:
    """The code, and what evaluate and sample write for variants with one model per FID; sharpness is a score."""
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "stages/scoring/sharpness.py").write_text(SCORE_FILE)
    params["tracking"]["enabled"] = False
    params["variants"] = {name: params["variants"][name] for name in fids}
    YAML(typ="safe", pure=True).dump(params, folder / "params.yaml")
    for name, of_seeds in fids.items():
        models = [model(SHARES, fid=fid, validation_fid=fid, sharpness=sharpness) for fid in of_seeds]
        for one in models:
            one["scores"]["class_share"]["real"] = SHARES
            one["run"]["variant"]["batch_size"] = BATCH_SIZES[name]
        metrics, samples = folder / "metrics/variants" / name, folder / "data/samples" / name / "images.npy"
        write(metrics / "scores.json", {"models": models, "failures": []})
        losses = "seed,images,discriminator_loss,generator_loss\n7,8,1.5,0.5\n7,16,1.25,0.75\n"
        (metrics / "losses.csv").write_text(losses)
        (metrics / "scores.csv").write_text("seed,images,fid,fid_real\n7,8,90,1.5\n7,16,30,1.5\n")
        for picture in (metrics / "pictures/samples.png", metrics / "pictures/sweep_code.png", metrics / "closest.png"):
            write_picture(picture, 4, columns=2)
        for step in (8, 16, 640):
            write_picture(folder / f"metrics/training/{name}/{step}.png", step, columns=8)
        write(folder / "models" / name / "config.json", {"of": name})
        (folder / "models" / name / "generator.safetensors").write_text(f"weights of {name}")
        samples.parent.mkdir(parents=True)
        np.save(samples, np.full((30, 1, 28, 28), 200, np.uint8))
    write(folder / "data/reference/real.json", {"scores": {"sharpness": record(0.75, 0.01)}})
    test = folder / "data/processed/test"
    write(test / "classes.json", {"classes": list(SHARES), "planes": 1})
    np.save(test / "images.npy", np.zeros((25, 1, 28, 28), np.uint8))
    np.save(test / "labels.npy", np.zeros(25, np.int64))


def write_picture(path: Path, value: int, columns: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(grid_png(np.full((columns * 2, 1, 28, 28), value % 256, np.uint8), columns))


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_a_score_in_a_new_file_shows_everywhere_and_torch_is_not_imported(
    tmp_path: Path, raw_params: Callable[[], Any]
) -> None:
    build(tmp_path, raw_params(), {"mlp": [3.0, 5.0], "cgan": [2.0]}, sharpness=0.5)
    printed = run(sys.executable, "-c", COMMAND, cwd=tmp_path).stdout.splitlines()
    assert [line.split()[:2] for line in printed] == [["1", "cgan"], ["1", "mlp"], ["equal", "ranks:"]]
    with (tmp_path / "metrics/summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["rank"], row["fid"], row["seeds"]) for row in rows] == [
        ("cgan", "1", "2", "1"),
        ("mlp", "1", "4", "2"),
    ]
    assert float(rows[1]["fid_ci95"]) == pytest.approx(12.706, abs=1e-3)  # Student's, of 3 and 5
    assert [row["sharpness"] for row in rows] == ["0.5", "0.5"]
    page = (tmp_path / "metrics/report/variants.md").read_text().splitlines()
    (head,) = [line.split(" | ") for line in page if line.startswith("| rank")]
    column = head.index("sharpness ↓")
    cells = [line.split(" | ")[column] for line in page if "| real images |" in line or "| `" in line]
    assert cells == ["75.0% ± 1.0%", "50.0%", "50.0%"]
    champion = {path.name: path.read_text() for path in (tmp_path / "data/champion").iterdir()}
    assert champion == {"config.json": '{"of": "cgan"}', "generator.safetensors": "weights of cgan"}
    for curves, rows_of_each in (("scores.csv", 2), ("losses.csv", 2)):
        with (tmp_path / "metrics/report" / curves).open() as file:
            names = [row["variant"] for row in csv.DictReader(file)]
        assert sorted(names) == ["cgan"] * rows_of_each + ["mlp"] * rows_of_each
    for picture in ("samples.png", "scores.png"):
        assert (tmp_path / "metrics/report" / picture).read_bytes().startswith(b"\x89PNG")


def test_the_page_opens_in_a_browser_and_can_be_sorted(tmp_path: Path, raw_params: Callable[[], Any]) -> None:
    build(tmp_path, raw_params(), {"mlp": [3.0, 5.0], "cgan": [2.0]}, sharpness=0.5)
    run(sys.executable, "-m", "stages.report", cwd=tmp_path)
    page = tmp_path / "metrics/report/index.html"
    assert not re.search(r"(src|href)=[\"']?https?:", page.read_text())  # nothing comes from a network
    for width, dark in ((1400, False), (390, True)):
        with open_browser(width, 900, dark) as driver:
            driver.get(page.as_uri())
            assert driver.execute_script(RANKED) == ["real images", "cgan", "mlp"]
            fid = driver.find_element("xpath", "//th/button[starts-with(., 'FID')]")
            driver.execute_script("arguments[0].click(); arguments[0].click()", fid)
            assert driver.execute_script(RANKED) == ["real images", "mlp", "cgan"]  # the highest first
            for title, first in (("recall", "descending"), ("KID", "ascending")):  # the best first
                head = driver.find_element("xpath", f"//th[starts-with(., '{title}')]")
                driver.execute_script("arguments[0].firstChild.click()", head)
                assert head.get_attribute("aria-sort") == first
            driver.find_element("css selector", "a[href='#variant-mlp']").click()
            WebDriverWait(driver, 20).until(lambda driver: driver.execute_script(DRAWN) >= 3)  # all curves, and mlp's
            shown = driver.find_element("id", "variant-mlp").text
            for text in ("FID 4.00 ± 12.71", "<b>zero</b>", "25.0 %", "sweep code", "batch_size 8 16"):
                assert text in shown, text
            assert driver.execute_script("return document.documentElement.scrollWidth") <= width
            assert driver.execute_script(BROKEN_IMAGES) == 0
            last = driver.execute_script(MOMENT)
            assert last[0] == "640 images seen"
            driver.find_element("id", "moment-step").send_keys(Keys.HOME)
            first = driver.execute_script(MOMENT)
            assert first[0] == "8 images seen"
            assert first[1] != last[1]
            assert console(driver) == []


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_champions_weights_are_those_of_its_best_checkpoint(tmp_path: Path, raw_params: Callable[[], Any]) -> None:
    """A batch norm counts its batches: a number without axes, which must be cut out of the snapshots, too."""
    build(tmp_path, raw_params(), {"mlp": [3.0], "cgan": [2.0]}, sharpness=0.5)
    rewrite(tmp_path / "metrics/variants/cgan/scores.json", choose_second_snapshot)
    moments = [{"a": torch.randn(3, 2), "b": torch.tensor(number)} for number in (5, 9)]
    snapshots = {f"generator.{name}": torch.stack([one[name] for one in moments]) for name in ("a", "b")}
    save_file(snapshots | {"images_seen": torch.tensor([8, 16])}, tmp_path / "models/cgan/snapshots.safetensors")
    run(sys.executable, "-c", COMMAND, cwd=tmp_path)
    found = (tmp_path / "data/champion/generator.safetensors").read_bytes()
    assert load(found).keys() == {"a", "b"}
    for name, value in moments[1].items():
        assert torch.equal(load(found)[name], value)


def choose_second_snapshot(scores: Any) -> None:
    scores["models"][0]["checkpoint"] = {"rule": "best", "images": 16}


def test_a_first_seed_that_diverged_hides_no_other_seed(tmp_path: Path, raw_params: Callable[[], Any]) -> None:
    build(tmp_path, raw_params(), {"mlp": [1.0], "cgan": [2.0]}, sharpness=0.5)

    def lose_first_seed(scores: Any) -> None:
        scores["models"][0]["run"] |= {"seeds": [5, 7], "seed": 7}
        scores["failures"] = ["mlp (seed 5) diverged"]

    rewrite(tmp_path / "metrics/variants/mlp/scores.json", lose_first_seed)
    for folder in ("data/samples/mlp", "metrics/variants/mlp/pictures", "metrics/training/mlp", "models/mlp"):
        shutil.move(tmp_path / folder, tmp_path / "aside")
        shutil.move(tmp_path / "aside", tmp_path / folder / "seed_7")
    run(sys.executable, "-c", COMMAND, cwd=tmp_path)
    assert 'src="../variants/mlp/pictures/seed_7/samples.png"' in (tmp_path / "metrics/report/variants.md").read_text()
    page = (tmp_path / "metrics/report/index.html").read_text()
    assert "mlp (seed 5) diverged" in page
    assert '"mlp": [{"images": "8"' in page  # its grids along training
    assert json.loads((tmp_path / "data/champion/config.json").read_text()) == {"of": "mlp"}
    for rows, columns in ((1, 20), (10, 10)):  # strips, and cards, of both variants
        assert page.count(tiles(np.full((30, 1, 28, 28), 200, np.uint8), rows, columns)) == 2


def test_variants_that_are_equal_diverged_or_large_have_a_report(tmp_path: Path, raw_params: Callable[[], Any]) -> None:
    params = raw_params()
    params["variants"]["copy"] = params["variants"]["mlp"]
    params["variants"]["lost"] = params["variants"]["mlp"]
    build(tmp_path, params, {"mlp": [3.0], "copy": [3.0], "cgan": [4.0], "lost": []}, sharpness=0.5)
    shutil.copy(tmp_path / "metrics/variants/mlp/scores.json", tmp_path / "metrics/variants/copy")
    rewrite(tmp_path / "metrics/variants/lost/scores.json", lambda scores: scores["failures"].append("lost diverged"))
    rewrite(tmp_path / "metrics/variants/cgan/scores.json", drop_scores)
    np.save(tmp_path / "data/samples/cgan/images.npy", np.zeros((12, 3, 300, 300), np.uint8))
    ended = run(sys.executable, "-c", COMMAND, cwd=tmp_path, check=False)
    assert ended.stderr == "error: no scores: lost diverged\n"
    assert ended.returncode == 1
    assert (tmp_path / "data/champion/config.json").exists()
    page = (tmp_path / "metrics/report/index.html").read_text()
    assert "<b>lost</b> has no scores: lost diverged" in page
    assert len(page) < 3_000_000
    with open_browser() as driver:
        driver.get((tmp_path / "metrics/report/index.html").as_uri())
        for times, order in ((1, ["copy", "mlp", "cgan"]), (2, ["copy", "mlp", "cgan"])):
            kid = driver.find_element("xpath", "//th/button[starts-with(., 'KID')]")
            driver.execute_script("arguments[0].click()", kid)
            assert driver.execute_script(RANKED)[1:] == order, times  # what has no score comes last, both ways


def drop_scores(scores: Any) -> None:
    for name in ("kid", "class_share"):
        del scores["models"][0]["scores"][name]


def test_curves_have_more_than_a_million_images_and_seeds_of_eight_digits_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(VARIANTS / "mlp" / CURVE, ["seed", "images", "fid"], [{"seed": 20240101, "images": 1132613, "fid": 0.5}])
    write_curves(["mlp"], CURVE, ["fid"])
    assert (REPORT / CURVE).read_text() == "variant,seed,images,fid\nmlp,20240101,1132613,0.5\n"


def test_where_all_diverged_the_reasons_are_told(tmp_path: Path, raw_params: Callable[[], Any]) -> None:
    build(tmp_path, raw_params(), {"mlp": []}, sharpness=0.5)
    rewrite(tmp_path / "metrics/variants/mlp/scores.json", lambda scores: scores["failures"].append("it diverged"))
    ended = run(sys.executable, "-m", "stages.report", cwd=tmp_path, check=False)
    assert (ended.returncode, ended.stderr) == (1, "error: no variant has scores\nerror: mlp: it diverged\n")


def test_what_removed_variants_left_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (
        "data/samples/a",
        "data/samples/b",
        "metrics/variants/a",
        "metrics/variants/c",
        "metrics/training/d",
        "models/a",
        "models/c",
    ):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / f"metrics/{name}.json").touch()
    refuse_leftovers({"a", "b", "c", "d"})
    with pytest.raises(StageError, match="rm -r ") as refused:
        refuse_leftovers({"a"})
    listed = "data/samples/b metrics/training/d metrics/variants/c metrics/b.json models/c"
    assert str(refused.value).endswith(f" does not have: rm -r {listed}")
