"""A folder of images: classes by folder, any size and kind, and nothing from outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.config.errors import ParameterError, StageError
from stages.datasets.image_folder import ImageFolder
from stages.storage.paths import RAW
from tests.datasets.small import fetch_options, preprocess_options, write_files

COLOURS = {"cats": (255, 0, 0), "dogs": (0, 0, 255)}


def test_a_folder_is_taken_class_by_class(capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: name.encode() for name in ("a/1.png", "a/2.png", "b c/1.png")}
    write_files(Path("mine"), files | {"a/.hidden": b"x", ".git/1.png": b"x", "readme.txt": b"x"})
    assert dict(ImageFolder().fetch(fetch_options())) == files
    assert "mine served 3 images of 2 classes" in capsys.readouterr().out


@pytest.mark.parametrize("names", [[], ["1.png"], ["a/1.png"], ["a/1.png", "b/.hidden"], ["a/1.png", ".b/1.png"]])
def test_two_classes_with_images_are_expected(names: list[str]) -> None:
    write_files(Path("mine"), dict.fromkeys(names, b"x"))
    with pytest.raises(StageError, match=r"^mine: expected at least two folders of images, one a class$"):
        ImageFolder().fetch(fetch_options())
    with pytest.raises(StageError, match=r"^nowhere: expected at least two"):
        ImageFolder().fetch(fetch_options(folder="nowhere"))


@pytest.mark.parametrize("link", ["file", "folder", "dangling", "no file"])
def test_a_folder_cannot_reach_outside(link: str) -> None:
    write_files(Path(), dict.fromkeys(("mine/a/1.png", "mine/b/1.png", "secret/1.png"), b"x"))
    target = Path("secret").absolute()
    match link:
        case "file":
            Path("mine/a/2.png").symlink_to(target / "1.png")
        case "folder":
            Path("mine/c").symlink_to(target)
        case "dangling":
            Path("mine/a/2.png").symlink_to("nowhere.png")
        case _:
            Path("mine/a/2.png").mkdir()
    with pytest.raises(StageError, match=r"^mine/[ac]/[12]\.png: expected an image, inside mine$"):
        ImageFolder().fetch(fetch_options())


def test_a_link_may_stay_inside() -> None:
    write_files(Path("mine"), dict.fromkeys(("a/1.png", "b/1.png"), b"x"))
    Path("mine/b/2.png").symlink_to("../a/1.png")
    assert [name for name, _ in ImageFolder().fetch(fetch_options())] == ["a/1.png", "b/1.png", "b/2.png"]


@pytest.fixture
def pictures() -> None:
    """Ten pictures of each class in data/raw, of other sizes and kinds."""
    for label, (name, colour) in enumerate(COLOURS.items()):
        (RAW / name).mkdir(parents=True)
        for index in range(10):
            picture = Image.new("RGB", (20 + index, 30 + label), colour)
            picture.save(RAW / name / f"{index}.{'png' if index % 2 else 'jpg'}")


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_and_kind_become_one_array(pictures: None, channels: int) -> None:
    options = preprocess_options(channels=channels, test_images=4)
    rest, test = ImageFolder().load(options, np.random.default_rng(7))
    order = np.random.default_rng(7).permutation(20)
    for split, chosen in ((rest, order[4:]), (test, order[:4])):
        assert split.image_shape == (channels, 16, 16)
        assert (split.classes, split.planes) == (("cats", "dogs"), 1)
        assert split.labels.tolist() == [int(index >= 10) for index in sorted(chosen)]
        grey = {1: [76], 3: [255, 0, 0]}[channels]  # ITU-R 601: 0.299 of 255
        assert split.labels.dtype == np.int64
        reds = split.images[split.labels == 0].mean(axis=(0, 2, 3))
        assert np.allclose(reds, grey, atol=2)


def test_scaling_keeps_rows_and_columns_in_their_place(pictures: None) -> None:
    """The upper half of a tall picture is white, and so are the upper rows."""
    pixels = np.zeros((40, 20), np.uint8)
    pixels[:20] = 255
    Image.fromarray(pixels).save(RAW / "cats/0.jpg")
    rest, test = ImageFolder().load(preprocess_options(), np.random.default_rng(0))
    images = np.concatenate([rest.images, test.images])
    tall = [image[0] for image in images if image.std() > 50]
    assert len(tall) == 1
    assert tall[0][:7].min() > 230
    assert tall[0][9:].max() < 25


def test_some_images_must_be_left(pictures: None) -> None:
    with pytest.raises(ParameterError, match=r"preprocess\.test_images: 20 is not allowed"):
        ImageFolder().load(preprocess_options(test_images=20), np.random.default_rng(0))


def test_what_is_no_image_is_named(pictures: None) -> None:
    (RAW / "dogs/3.png").write_bytes(b"<html>")
    with pytest.raises(StageError, match=r"^data/raw/dogs/3.png: cannot be read as an image: [^\n]*$"):
        ImageFolder().load(preprocess_options(), np.random.default_rng(0))


def test_raw_data_of_another_kind_is_refused() -> None:
    write_files(RAW, {"train-images-idx3-ubyte": b"x"})
    with pytest.raises(StageError, match=r"^data/raw: expected at least two folders of images"):
        ImageFolder().load(preprocess_options(), np.random.default_rng(0))
