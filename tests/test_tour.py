"""docs/tour.ipynb runs and shows what it says. After `make repro`, python -m tests.test_tour rebuilds its outputs."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image
from ruamel.yaml import YAML

from tests.conftest import ROOT, clean_environment, clone_repository, commit_all, run, set_parameters

NOTEBOOK = ROOT / "docs/tour.ipynb"
LARGEST = 1_500_000  # bytes of the notebook
FEWER = {  # to keep the time short
    "budget": "smoke",
    "fetch.sources": ["npm", "torchvision"],  # the second imports torch and its compiler
    "sample.count": 500,
    "evaluate.resamples": 2,
    "evaluate.kid_subsets": 2,
    "classifier.images.smoke": 6400,
    "classifier.width": 4,
    "downstream.images.smoke": 128,
    "evaluate.copies_samples": 50,
    "tracking.enabled": False,
}
VARIANTS = ("conv_patch", "dcgan", "mlp")  # that the tour trains
PICTURES = 11


def execute(notebook: Any, repository: Path) -> None:
    """Run all cells in docs, as an editor does, by the Python of this environment."""
    client = NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(repository / "docs")}}, record_timing=False
    )
    client.execute(env=clean_environment())


def strip(notebook: Any) -> None:
    """Remove what changes from run to run, and what a picture is called where it cannot be shown."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.metadata = None, {}
            for output in cell.outputs:
                output.pop("execution_count", None)
                output.get("data", {}).pop("text/plain", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}


def text_of(notebook: Any) -> str:
    """All that cells have printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    return "".join(output.get("text", "") for output in outputs)


def pictures_of(notebook: Any) -> list[np.ndarray]:
    """All pictures that cells have shown, as grey levels."""
    data = [output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    files = [base64.b64decode(shown["image/png"]) for shown in data if "image/png" in shown]
    return [np.asarray(Image.open(io.BytesIO(file)).convert("L")) for file in files]


def numbers(pattern: str, text: str) -> list[float]:
    """What the one group of a pattern finds in a text."""
    return [float(number.replace(",", "")) for number in re.findall(pattern, text)]


def check(notebook: Any) -> None:
    """What holds for a short run as for a long one."""
    text = text_of(notebook)
    assert "55,000 training images, 10,000 test images" in text
    assert numbers(r"are real with probability ([\d.]+)", text) == pytest.approx([0.5, 0.5], abs=0.2)
    (loss, real, fake), *_ = re.findall(
        r"'discriminator_loss': (\S+), .*'real_logits': (\S+), 'fake_logits': ([-\d.]+)", text
    )
    least = math.log1p(math.exp(-float(real))) + math.log1p(math.exp(float(fake)))  # were all logits alike
    assert least - 0.001 < float(loss) < least + 0.4
    fids = numbers(r"after +[\d,]+ images: FID +([\d.]+)", text)
    (baseline,) = numbers(r"real training images: FID +([\d.]+)\n", text)
    assert len(fids) == 5
    assert 0 < baseline < min(fids)
    assert fids[-1] < fids[0] / 2  # training helps
    scores = {
        name: dict(zip(("fid", "precision", "recall", "duplicates"), map(float, values), strict=True))
        for name, *values in re.findall(
            r"^(.+): fid ([\d.]+), precision ([\d.]+), recall ([\d.]+), duplicates ([\d.]+)$", text, re.M
        )
    }
    assert list(scores) == ["real training images", "dcgan", "collapsed", "conv_patch", "conv_patch, repaired"]
    assert min(scores, key=lambda name: scores[name]["fid"]) == "real training images"
    assert max(scores, key=lambda name: scores[name]["recall"]) == "real training images"
    assert scores["collapsed"]["recall"] < scores["dcgan"]["recall"]
    assert scores["collapsed"]["duplicates"] > 0.1
    assert scores["conv_patch"]["fid"] > scores["dcgan"]["fid"]
    assert scores["conv_patch, repaired"]["fid"] < scores["conv_patch"]["fid"]
    assert numbers(r"each logit sees (\d+) x \d+ pixels", text)[0] == 5
    assert numbers(r"each logit sees (\d+) x \d+ pixels", text)[1] > 20
    vanished, kept = [last / first for first, last in pairs(text)]
    assert vanished < 0.01
    assert kept > 0.1
    pictures = pictures_of(notebook)
    assert len(pictures) == PICTURES
    for picture in pictures:
        assert picture.shape[0] >= 50
        assert picture.shape[1] >= 300
        assert picture.std() > 3


def pairs(text: str) -> list[tuple[float, float]]:
    """The generator's gradient at the begin and the end of trainings."""
    pattern = r"norm of the generator's gradient: first (\S+), last (\S+)"
    return [(float(first), float(last)) for first, last in re.findall(pattern, text)]


def test_the_tour_runs_from_a_clone(tmp_path: Path) -> None:
    clone = clone_repository(tmp_path / "reprogan")
    every = YAML().load(clone / "params.yaml")["variants"]
    set_parameters(clone, FEWER | {"variants": {name: every[name] for name in VARIANTS}})
    commit_all(clone, "smoke budget")
    run("dvc", "repro", "reference", cwd=clone)
    notebook = nbformat.read(clone / "docs/tour.ipynb", as_version=4)
    (long,) = [cell for cell in notebook.cells if "SHORT = False" in cell.source]
    long.source = long.source.replace("SHORT = False", "SHORT = True")
    before = run("git", "status", "--short", cwd=clone).stdout
    execute(notebook, clone)
    check(notebook)
    assert run("git", "status", "--short", cwd=clone).stdout == before  # the tour writes no files


def test_the_committed_outputs_show_what_the_tour_says() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    check(notebook)
    text = text_of(notebook)
    *_, last = numbers(r"after +[\d,]+ images: FID +([\d.]+)", text)
    assert last < 15
    (recall,) = numbers(r"collapsed: .* recall ([\d.]+),", text)
    assert recall < 0.05
    shares = sorted(numbers(r"\b\d: (\d+)%", text))
    assert len(shares) == 10
    assert sum(shares[-4:]) > 85  # a few digits make up nearly all


def test_the_committed_notebook_is_small_and_stable() -> None:
    content = NOTEBOOK.read_text()
    assert len(content.encode()) <= LARGEST
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    before = json.dumps(notebook)
    strip(notebook)
    assert json.dumps(notebook) == before
    assert "SHORT = False" in content
    assert not re.search(r"/(root|home|work|Users|tmp)/", "".join(re.findall(r'"source": \[.*?\]', content, re.DOTALL)))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert 15 < len(code) < 40
    assert all(len(cell.source.splitlines()) <= 30 for cell in code)


def test_links_of_the_tour_lead_to_files() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert len(links) > 4
    assert [link for link in links if not (NOTEBOOK.parent / link).exists()] == []
    paths = re.findall(r"`((?:stages|data|docs)/[\w./]+)`", text)
    assert [path for path in paths if not path.startswith("data/") and not (ROOT / path).exists()] == []


def main() -> None:
    """Run the tour in this repository, and write its outputs."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    execute(notebook, ROOT)
    strip(notebook)
    check(notebook)
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
