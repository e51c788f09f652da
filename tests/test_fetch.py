"""Fetch: whatever data set params.yaml names, its files appear whole, or one line says why not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stages import fetch
from stages.config.errors import ParameterError, StageError
from stages.config.params import Fetch, Params, load
from stages.datasets.fashion_mnist import FashionMNIST
from stages.storage.paths import RAW
from tests.conftest import ROOT, run, set_parameters

SQUARES = '''
"""Squares of two sizes, drawn here."""

import numpy as np

from stages.datasets.dataset import Dataset, hold_out
from stages.storage.images import Split
from stages.storage.paths import RAW


class Squares(Dataset):
    """Fifty images of a small square, fifty of a large one."""

    def fetch(self, options):
        yield "sizes.bin", bytes([2, 6] * 50)

    def load(self, options, random):
        sizes = np.frombuffer((RAW / "sizes.bin").read_bytes(), np.uint8)
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


def test_files_are_written_below_data_raw(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"a/1": b"one", "2": b"two"}
    monkeypatch.setattr(FashionMNIST, "fetch", lambda self, options: contents.items())
    fetch.main(params)
    found = {str(path.relative_to(RAW)): path.read_bytes() for path in RAW.rglob("*") if path.is_file()}
    assert found == contents


def test_a_file_that_cannot_be_had_leaves_no_half_of_it(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    def contents(self: FashionMNIST, options: Fetch) -> Iterator[tuple[str, bytes]]:
        yield "1", b"one"
        raise OSError("unplugged")

    monkeypatch.setattr(FashionMNIST, "fetch", contents)
    with pytest.raises(OSError, match="unplugged"):
        fetch.main(params)
    assert [path.name for path in RAW.iterdir()] == ["1"]


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
        ("kmnist", "no source could serve KMNIST (", "data/raw/train-images-idx3-ubyte: No such file or directory"),
        ("image_folder", "nowhere: expected at least two folders", "data/raw: expected at least two folders"),
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
