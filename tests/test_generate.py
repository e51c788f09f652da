"""The command that draws: pictures, animations and arrays of a model, and one line for what is not allowed."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from PIL import Image

from stages import generate
from stages.config.errors import errors_as_lines
from stages.storage.files import write_json
from stages.storage.images import Split, write_split
from stages.storage.pixels import to_float, to_outlines, to_uint8
from tests.conftest import ROOT, run
from tests.serving.models import CLASSES, rows_one_by_one, write_model

Generate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Generators of four variants, whose models are in a folder without params.yaml."""
    monkeypatch.chdir(tmp_path)
    return {name: write_model(Path("models") / name, name) for name in ("mlp", "cgan", "infogan", "cyclegan")}


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Generate:
    """The command as a function of its arguments: exit code, output, errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["generate", *arguments])
        try:
            with errors_as_lines():
                generate.main(generate.parser().parse_args())
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return call


def close(drawn: np.ndarray, expected: np.ndarray) -> bool:
    """Whether images are the same, but for the roundings of batches of another size."""
    return drawn.shape == expected.shape and np.abs(drawn.astype(int) - expected).max() <= 1


def alone(generator: Any, seeds: list[int], labels: list[int], truncation: float = 1.0) -> np.ndarray:
    return to_uint8(rows_one_by_one(generator, seeds, labels, truncation)).numpy()


def test_a_picture_has_an_image_of_each_seed_in_rows(models: dict[str, Any], command: Generate) -> None:
    arguments = ("--count", "6", "--label", "two", "--seed", "5", "--truncation", "0.5", "--columns", "4")
    assert command("cgan", *arguments, "--out", "new/digits.png") == (0, "new/digits.png: cgan: 6 images\n", "")
    expected = alone(models["cgan"], list(range(5, 11)), [2] * 6, 0.5)
    picture = np.asarray(Image.open("new/digits.png"))[::2, ::2]
    assert picture.shape == (2 * 29 + 1, 4 * 29 + 1)
    cells = [picture[1 + 29 * row :][:28, 1 + 29 * column :][:, :28] for row in range(2) for column in range(4)]
    assert close(np.stack(cells[:6])[:, None], expected)
    assert not np.stack(cells[6:]).any()


def test_a_grid_has_no_more_columns_than_images(models: dict[str, Any], command: Generate) -> None:
    assert command("cgan", "--count", "3", "--columns", "9999", "--out", "row.png")[0] == 0
    assert Image.open("row.png").size == (2 * (3 * 29 + 1), 2 * 30)


@pytest.fixture
def few_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are drawn in pieces."""
    monkeypatch.setattr("stages.serving.drawing.TOGETHER", 4)


@pytest.mark.usefixtures("few_together")
def test_an_array_has_each_label_in_turn(models: dict[str, Any], command: Generate) -> None:
    assert command("cgan", "--count", "6", "--out", "digits.npy")[0] == 0
    images = np.load("digits.npy")
    assert images.dtype == np.uint8
    assert close(images, alone(models["cgan"], list(range(6)), [0, 1, 2, 3, 0, 1]))


def test_a_label_of_infogan_is_a_code(models: dict[str, Any], command: Generate) -> None:
    assert command("infogan", "--count", "2", "--label", "7", "--out", "digits.npy")[0] == 0
    assert close(np.load("digits.npy"), alone(models["infogan"], [0, 1], [7, 7]))


def test_a_folder_takes_the_place_of_a_variant(models: dict[str, Any], command: Generate, tmp_path: Path) -> None:
    (tmp_path / "models/mlp").rename(tmp_path / "elsewhere")
    assert command(str(tmp_path / "elsewhere"), "--count", "1", "--out", "digits.npy")[0] == 0
    assert close(np.load("digits.npy"), alone(models["mlp"], [0], [0]))


@pytest.mark.usefixtures("few_together")
def test_steps_lead_from_each_image_to_that_of_the_next_seed(models: dict[str, Any], command: Generate) -> None:
    assert command("mlp", "--count", "3", "--seed", "8", "--interpolate", "5", "--out", "between.npy")[0] == 0
    images = np.load("between.npy")
    assert images.shape == (3, 5, 1, 28, 28)
    ends = alone(models["mlp"], [8, 9, 10, 11], [0] * 4)
    assert close(images[:, 0], ends[:3])
    assert close(images[:, -1], ends[1:])
    latents = []
    for seed in (8, 9):
        torch.manual_seed(seed)
        latents.append(torch.randn(1, models["mlp"].latent_size))
    with torch.no_grad():
        middle = models["mlp"](sum(latents) / 2**0.5, torch.zeros(1, dtype=torch.int64))
    assert close(images[0, 2:3], to_uint8(middle).numpy())
    assert command("mlp", "--count", "3", "--seed", "8", "--interpolate", "5", "--out", "between.png")[0] == 0
    assert Image.open("between.png").size == (2 * (5 * 29 + 1), 2 * (3 * 29 + 1))


def test_an_animation_goes_there_and_back(models: dict[str, Any], command: Generate) -> None:
    assert command("mlp", "--count", "2", "--interpolate", "6", "--columns", "2", "--out", "between.gif")[0] == 0
    animation: Any = Image.open("between.gif")
    frames = []
    for number in range(animation.n_frames):
        animation.seek(number)
        frames.append(np.asarray(animation.convert("L")).astype(int))
    assert len(frames) == 2 * 6 - 2
    assert animation.info["loop"] == 0  # forever
    assert all(np.array_equal(frames[k], frames[10 - k]) for k in range(1, 5))
    ends = alone(models["mlp"], [0, 1, 2], [0] * 3)
    for frame, (left, right) in ((frames[0], ends[:2]), (frames[5], ends[1:])):
        assert close(frame[2:58:2, 2:58:2], left[0])
        assert close(frame[2:58:2, 60:116:2], right[0])
    steps = [np.abs(after - before).mean() for before, after in itertools.pairwise(frames[:6])]
    assert max(steps[0], steps[-1]) < min(steps[1:-1])  # slow at both ends


def test_a_translator_draws_from_outlines_of_test_images(models: dict[str, Any], command: Generate) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 28, 28), np.uint8)
    write_split("test", Split(images, np.arange(40) % 4, CLASSES))
    assert command("cyclegan", "--count", "10", "--label", "one", "--seed", "3", "--out", "digits.npy")[0] == 0
    with torch.no_grad():
        outlines = to_outlines(to_float(torch.from_numpy(images[np.arange(40) % 4 == 1])))
        expected = to_uint8(models["cyclegan"].translate(to_float(to_uint8(outlines)), "digits")).numpy()
    drawn = np.load("digits.npy")
    found = [next(index for index, one in enumerate(expected) if close(image, one)) for image in drawn]
    assert sorted(found) == list(range(10))  # all ten of the class, shuffled
    assert found != sorted(found)
    for arguments, line in (
        (("--count", "41"), "count: 41 is not allowed; there are 40 test images"),
        (("--truncation", "0.5"), "truncation: cyclegan translates images"),
        (("--interpolate", "3"), "cyclegan translates images: it has no latents to interpolate"),
    ):
        code, _, errors = command("cyclegan", *arguments, "--out", "other.npy")
        assert (code, errors.count("\n")) == (2, 1)
        assert line in errors


def test_a_translator_draws_from_no_other_classes(models: dict[str, Any], command: Generate) -> None:
    images = np.zeros((4, 1, 28, 28), np.uint8)
    write_split("test", Split(images, np.arange(4) % 4, ("a", *CLASSES[1:])))
    code, _, errors = command("cyclegan", "--count", "2", "--out", "other.npy")
    assert (code, errors.count("\n")) == (1, 1)
    assert "its classes are not those of the images that cyclegan learned from" in errors


def test_a_picture_and_an_onnx_file_are_written_together(models: dict[str, Any], command: Generate) -> None:
    code, said, _ = command("mlp", "--out", "digits.png", "--onnx", "mlp.onnx", "--count", "2")
    assert code == 0
    assert [line.split(":")[0] for line in said.splitlines()] == ["digits.png", "mlp.onnx"]
    latent = torch.randn(2, models["mlp"].latent_size)
    (images,) = onnxruntime.InferenceSession("mlp.onnx").run(None, {"latent": latent.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(images, models["mlp"](latent, torch.zeros(2)).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("mlp", "nothing to write: give --out FILE, --onnx FILE, or both"),
        ("--out out.png", "the following arguments are required: VARIANT"),
        ("mlp --out out.jpg", "--out: 'out.jpg' is not allowed; its name must end with .png, .gif, .npy"),
        ("mlp --onnx out.png", "--onnx: 'out.png' is not allowed; its name must end with .onnx"),
        ("mlp --out models.png/ --count x", "--count: 'x' is not allowed; expected a whole number from 1 to 10000"),
        ("mlp --out out.png --count 0", "--count: '0' is not allowed; expected a whole number from 1 to 10000"),
        ("mlp --out out.png --count 1.5", "expected a whole number from 1 to 10000"),
        ("mlp --out out.png --count 1001 --interpolate 10", "expected a whole number from 1 to 1000"),
        ("mlp --out out.png --interpolate 1", "expected a whole number from 2 to 10000"),
        ("mlp --out out.png --seed -1", "--seed: '-1' is not allowed; expected a whole number from 0 to"),
        ("mlp --out out.png --seed 9223372036854775807", "--seed: '9223372036854775807' is not allowed"),
        ("mlp --out out.png --truncation nan", "--truncation: 'nan' is not allowed; expected a number from 0 to 1"),
        ("mlp --out out.png --truncation 1.1", "expected a number from 0 to 1"),
        ("mlp --out out.png --columns 0", "--columns: '0' is not allowed"),
        ("mlp --out out.npy --columns 2", "--columns is for grids"),
        ("mlp --onnx out.onnx --columns 2", "--columns needs --out"),
        ("mlp --out out.png --label one", "--label: mlp draws without labels; leave --label out"),
        ("cgan --out out.png --label 3", "--label: '3' is none of the classes: zero, one, two, <b>three</b>"),
        ("infogan --out out.png --label 10", "--label: '10' is none of the codes: 0, 1, 2"),
        ("cgna --out out.png", "models/cgna: no such generator (did you mean 'cgan'?); expected one of: cgan"),
        ("mlp --out out.png --cuont 3", "unrecognized arguments: --cuont 3"),
        ("models --out out.png", "models/models: no such generator"),
        ("models/cgna --out out.png", "error: models/cgna: no such generator (did you mean 'cgan'?)"),
        ("mlp --out out.gif --count 2 --seed 4294967294", "expected a whole number from 0 to 4294967293"),
        ("mlp --out out.gif --count 2000 --interpolate 2 --columns 1", "2000 rows of 1 images are 60 × 116002 pixels"),
        ("mlp --out out.png --count 2 --seed 4294967295", "expected a whole number from 0 to 4294967294"),
    ],
)
def test_what_is_not_allowed_is_said_in_one_line(
    arguments: str, line: str, models: dict[str, Any], command: Generate
) -> None:
    Path("out.png").write_text("kept")
    code, said, errors = command(*arguments.split())
    assert (code, said) == (2, "")
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert line in errors
    assert Path("out.png").read_text() == "kept"
    assert {path.name for path in Path().iterdir()} == {"models", "out.png"}


def test_the_last_seed_is_drawn_from(models: dict[str, Any], command: Generate) -> None:
    assert command("mlp", "--out", "last.npy", "--count", "1", "--seed", "4294967295")[0] == 0
    assert command("mlp", "--out", "two.npy", "--count", "2", "--seed", "4294967294")[0] == 0
    assert np.array_equal(np.load("last.npy")[0], np.load("two.npy")[1])


def test_models_that_cannot_be_drawn_from_are_named(models: dict[str, Any], command: Generate) -> None:
    write_json(Path("models/gone/config.json"), {"variant": {}, "diverged": 5})
    Path("models/mlp/generator.safetensors").write_text("broken")
    for arguments, line in (
        (("gone",), "models/gone/generator.safetensors: is missing: its training diverged"),
        (("mlp",), "models/mlp/generator.safetensors: cannot be read"),
        (("cyclegan",), "cyclegan translates test images, and data/processed/test is missing: run `make repro`"),
    ):
        code, said, errors = command(*arguments, "--out", "out.png")
        assert (code, said, errors.count("\n")) == (1, "", 1)
        assert line in errors
    Path("models").rename("others")
    assert "models/mlp: no such generator; models has none: run `make repro`" in command("mlp", "--out", "out.png")[2]


def test_the_classifier_is_no_generator(models: dict[str, Any], command: Generate) -> None:
    write_json(Path("models/classifier/config.json"), {"network": {}, "training": {}})
    assert command("classifier", "--out", "out.png") == (
        2,
        "",
        "error: models/classifier: no such generator; expected one of: cgan, cyclegan, infogan, mlp, or a model's "
        "folder\n",
    )


def test_the_command_needs_no_params_file_and_says_what_it_reads(models: dict[str, Any], tmp_path: Path) -> None:
    call = (sys.executable, "-m", "stages.generate")
    done = run(*call, "mlp", "--out", "digits.png", cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert (done.stdout, done.stderr) == ("digits.png: mlp: 16 images\n", "")
    text = run(*call, "--help", cwd=tmp_path, PYTHONPATH=str(ROOT)).stdout
    assert "Reads models/VARIANT (config.json, generator.safetensors)" in text
    assert "Writes the files of --out and --onnx" in text
    assert "\x1b" not in text


def test_the_python_of_the_page_does_what_it_says(models: dict[str, Any], command: Generate) -> None:
    page = (ROOT / "docs/use.md").read_text()
    plain, champion, onnx = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    generator = write_model(Path("models/cgan"), "cgan", classes="0123456789")
    found: dict[str, Any] = {}
    exec(plain, found)  # noqa: S102
    torch.testing.assert_close(found["images"], generator.sample_rows([1, 2, 3], torch.tensor([3, 3, 7])))
    assert len(plain.strip().splitlines()) <= 4
    assert "models:/reprogan@champion" in champion  # tests/test_serve.py loads it
    assert command("cgan", "--onnx", "cgan.onnx")[0] == 0
    exec(onnx, found)  # noqa: S102
    with torch.no_grad():
        expected = generator(torch.from_numpy(found["latent"]), torch.full((16,), 3))
    np.testing.assert_allclose(found["images"], expected.numpy(), atol=1e-4)


def test_a_path_keeps_its_label_and_the_truncation(models: dict[str, Any], command: Generate) -> None:
    arguments = ("--count", "3", "--interpolate", "5", "--truncation", "0.5", "--out", "between.npy")
    assert command("cgan", *arguments)[0] == 0
    images = np.load("between.npy")
    assert close(images[:, 0], alone(models["cgan"], [0, 1, 2], [0, 1, 2], 0.5))
    assert close(images[:, -1], alone(models["cgan"], [1, 2, 3], [0, 1, 2], 0.5))
