"""Live files: what an editor sees while a training runs, and what it leaves."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.training import live_files
from stages.training.live_files import LiveFiles, samples_to_gif


def samples(value: int) -> np.ndarray:
    return np.full((9, 1, 3, 3), value, np.uint8)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_curve_and_grids_are_there_while_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_files, "SECONDS_BETWEEN_WRITES", 0.0)
    losses, grids = tmp_path / "losses.csv", tmp_path / "grids"
    live = LiveFiles(losses, grids, 1, [{"seed": 0, "images": 8, "loss": 0.5}])
    live.metrics(8, {"loss": 0.25})
    assert read(losses) == [
        {"seed": "0", "images": "8", "loss": "0.5"},
        {"seed": "1", "images": "8", "loss": "0.25"},
    ]
    live.images("samples", 8, samples(200))
    assert [path.name for path in grids.iterdir()] == ["8.png"]
    picture = np.asarray(Image.open(grids / "8.png"))
    assert picture.shape == (2 * 4 + 1, 8 * 4 + 1)  # nine images in rows of eight, a pixel between them
    assert picture[1:4, 1:4].tolist() == [[200] * 3] * 3
    live.metrics(16, {"loss": 0.125, "penalty": 1.0})
    assert [row["penalty"] for row in read(losses)] == ["", "", "1"]


def test_the_curve_is_written_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    losses, seen = tmp_path / "losses.csv", []
    live = LiveFiles(losses, tmp_path / "grids", 0, [])
    for step in range(1, 8):
        now += 0.4
        live.metrics(step, {"loss": 1.0})
        seen.append(len(read(losses)) if losses.exists() else 0)
    assert seen == [0, 0, 3, 3, 3, 6, 6]


def test_the_animation_has_a_frame_for_each_grid() -> None:
    animation = Image.open(io.BytesIO(samples_to_gif(np.stack([samples(value) for value in (0, 90, 250)]))))
    shown = []
    for frame in range(3):
        animation.seek(frame)
        shown.append((int(np.asarray(animation.convert("L"))[2, 2]), animation.info["duration"]))
    assert shown == [(0, 400), (90, 400), (250, 2000)]
    assert animation.info["loop"] == 0


def test_bytes_do_not_depend_on_what_was_written_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for pause in (0.0, 1e9):
        monkeypatch.setattr(live_files, "SECONDS_BETWEEN_WRITES", pause)
        folder = tmp_path / str(pause)
        live = LiveFiles(folder / "losses.csv", folder / "grids", 0, [])
        for step in (8, 16):
            live.metrics(step, {"loss": step / 3})
            live.images("samples", step, samples(step))
        live.close()
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        written.append({path.relative_to(folder): path.read_bytes() for path in files})
    assert len(written[0]) == 3
    assert written[0] == written[1]


def test_a_full_disk_on_the_way_costs_nothing_and_at_the_end_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(live_files, "SECONDS_BETWEEN_WRITES", 0.0)
    live = LiveFiles(tmp_path / "losses.csv", tmp_path / "grids", 0, [])
    with monkeypatch.context() as patched:
        patched.setattr(live_files, "write_bytes", full)
        patched.setattr(live_files, "write_csv", full)
        live.metrics(8, {"loss": 1.0})
        live.images("samples", 8, samples(9))
        with pytest.raises(OSError, match="No space"):
            live.close()
    live.close()
    assert len(read(tmp_path / "losses.csv")) == 1
    assert Image.open(io.BytesIO((tmp_path / "grids/8.png").read_bytes())).size == (33, 9)
