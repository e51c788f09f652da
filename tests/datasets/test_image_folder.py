"""A folder of images: classes by folder, links, litter, what is refused, and splits that have every class."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from stages import fetch, preprocess
from stages.config.errors import StageError
from stages.config.params import Params, load
from stages.datasets.dataset import LEAST_IN_A_SPLIT
from stages.datasets.image_folder import AFTER, LEAST_IN_A_CLASS, ImageFolder
from stages.storage.files import write_bytes
from stages.storage.images import read_split
from stages.storage.paths import FETCHED, PROCESSED
from tests.conftest import ROOT
from tests.datasets.pictures import encoded, picture_bytes, png, write_pictures
from tests.datasets.small import fetch_options, preprocess_options, write_files

MINE = Path("mine")
NEEDED = "expected at least 6, 2 each for training, validation and test"


@pytest.fixture
def classes() -> Path:
    """Two classes of six pictures."""
    write_pictures(MINE, cats=6, dogs=6)
    return MINE


def fetched(folder: str = "mine") -> dict[str, bytes]:
    return dict(ImageFolder().fetch(fetch_options(folder=folder)))


def refused(folder: str = "mine") -> list[str]:
    """The lines of fetch's error."""
    with pytest.raises(StageError) as error:
        ImageFolder().fetch(fetch_options(folder=folder))
    return str(error.value).splitlines()


def test_a_folder_is_taken_class_by_class(classes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = {f"{name}/{index}.png": None for name in ("cats", "dogs") for index in range(6)}
    found = fetched()
    assert list(found) == list(expected)
    assert all(content == (classes / name).read_bytes() for name, content in found.items())
    assert "mine served 12 images; classes: 2" in capsys.readouterr().out


def test_a_folder_that_changed_is_told_from_one_that_did_not(classes: Path) -> None:
    options, folder = fetch_options(folder="mine"), ImageFolder()
    assert folder.has_changed(options)  # nothing is fetched yet, and DVC might restore what an earlier run copied
    for name, content in fetched().items():
        write_bytes(FETCHED / name, content)
    assert not folder.has_changed(options)
    (image, other, *_) = sorted(path for path in classes.rglob("*") if path.is_file())
    before = image.read_bytes()
    image.write_bytes(other.read_bytes())
    assert folder.has_changed(options)
    image.write_bytes(before)
    assert not folder.has_changed(options)
    shutil.copy(image, image.with_stem("one_more"))
    assert folder.has_changed(options)
    shutil.rmtree(classes)
    assert not folder.has_changed(options)  # what was copied is all there is


def test_one_class_is_enough() -> None:
    write_pictures(MINE, only=6)
    assert len(fetched()) == 6
    write_pictures(FETCHED, only=10)
    rest, test = ImageFolder().load(preprocess_options(), np.random.default_rng(0))
    assert (len(rest.images), len(test.images), rest.classes) == (8, 2, ("only",))


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", ".hidden", "._1.png", "Thumbs.db", "thumbs.DB", "ehthumbs.db", "desktop.ini", "Desktop.ini"),
        *("Icon\r", "cats.dvc", ".gitignore", "__MACOSX/._1.png", "@eaDir/1.png/x.jpg", ".ipynb_checkpoints/1.png"),
    ],
)
def test_litter_is_passed_over_in_the_folder_and_in_classes(classes: Path, name: str) -> None:
    expected = fetched()
    write_files(classes, {name: b"x", f"cats/{name}": b"x"})
    assert fetched() == expected


def test_a_folder_of_litter_alone_is_an_empty_class(classes: Path) -> None:
    write_files(classes, {"birds/.DS_Store": b"x", "birds/Thumbs.db": b"x"})
    assert refused() == [
        f"mine/birds: images of this class: none; {NEEDED}",
        AFTER,
    ]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_class_with_too_few_images_is_named(classes: Path, count: int) -> None:
    write_pictures(classes, birds=count)
    (classes / "birds").mkdir(exist_ok=True)
    line = f"mine/birds: images of this class: {count or 'none'}; {NEEDED}"
    assert refused() == [line, AFTER]


def test_classes_and_images_are_in_natural_order() -> None:
    names = ["1", "2", "10", "apple", "Banana", "cherry 2", "cherry 10", "Cherry 11", "Öl"]
    write_pictures(MINE, **dict.fromkeys(reversed(names), 12))
    found = list(fetched())
    assert list(dict.fromkeys(name.split("/")[0] for name in found)) == names
    assert [name for name in found if name.startswith("10/")] == [f"10/{index}.png" for index in range(12)]
    write_pictures(FETCHED, **dict.fromkeys(names, 6))
    assert ImageFolder().load(preprocess_options(), np.random.default_rng(0))[0].classes == tuple(names)


def test_names_that_differ_by_case_or_leading_zeros_have_one_order() -> None:
    write_pictures(MINE, **dict.fromkeys(["a1", "A1", "a01", "A01"], 6))
    found = [name.split("/")[0] for name in fetched()]
    assert list(dict.fromkeys(found)) == ["A01", "A1", "a01", "a1"]


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", " "])
def test_a_name_that_cannot_be_shown_is_refused_in_one_line(classes: Path, name: str) -> None:
    write_pictures(classes, **{name: 6})
    (line, after) = refused()
    assert line.isprintable()
    assert line.endswith(": a class's name must be printable and not blank")
    assert after == AFTER


def test_a_name_that_dvc_cannot_keep_is_refused(classes: Path) -> None:
    write_files(classes, {"cats/\udcff.png": picture_bytes()})
    write_pictures(classes, **{"\udcff": 6})
    name = "the name is not valid UTF-8, which DVC needs; rename it"
    assert refused() == [f"'mine/cats/\\udcff.png': {name}", f"'mine/\\udcff': {name}", AFTER]


def test_names_as_macos_gives_them_are_taken(classes: Path) -> None:
    """A narrow no-break space, which Python does not call printable."""
    write_files(classes, {"cats/Screenshot at 3.04.05\u202fPM.png": picture_bytes()})
    assert len(fetched()) == 13


# --- the folder itself


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_pictures(tmp_path / "home/pics", cats=6)
    assert len(fetched("~/pics")) == 6
    (tmp_path / "home/pics/cats/0.png").write_bytes(b"x")
    assert refused("~/pics")[0].startswith("~/pics/cats/0.png: cannot be read as an image: ")
    assert refused("~no such user/pics") == ["~no such user/pics: fetch.folder: there is no such home folder"]


def test_a_folder_may_be_absolute_or_lead_out_of_the_repository(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere")
    write_pictures(folder, cats=6)
    assert len(fetched(str(folder))) == 6
    assert len(fetched(f"../{folder.name}/")) == 6
    (tmp_path / "link").symlink_to(folder)
    assert len(fetched("link")) == 6


def test_a_relative_folder_starts_at_the_repository(
    classes: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `dvc exp run --temp`, which runs stages elsewhere."""
    monkeypatch.setenv("DVC_ROOT", str(Path().absolute()))
    monkeypatch.chdir(tmp_path_factory.mktemp("copy"))
    assert len(fetched()) == 12


@pytest.mark.parametrize("folder", [str(FETCHED), f"{FETCHED}/mine", "linked"])
def test_images_in_the_folder_that_fetch_writes_to_are_refused(folder: str) -> None:
    """DVC would remove them when another data set is fetched."""
    write_pictures(FETCHED, cats=6, dogs=6)
    write_pictures(FETCHED / "mine", cats=6)
    Path("linked").symlink_to(FETCHED)
    reason = "fetch.folder: fetch writes to data/fetched; keep images elsewhere, such as in data/local"
    assert refused(folder) == [f"{folder}: {reason}"]


def test_files_that_are_no_images_do_not_count(classes: Path) -> None:
    write_pictures(classes, birds=5)
    write_files(classes, {"birds/notes.txt": b"x"})
    told = refused()
    assert told[0].startswith("mine/birds/notes.txt: cannot be read as an image")
    assert told[1:] == [f"mine/birds: images of this class: 5; {NEEDED}", AFTER]


def test_no_folder_a_file_and_an_empty_folder_have_their_own_line(tmp_path: Path) -> None:
    layout = "expected a folder that has one folder of images per class, such as"
    assert refused("nowhere") == [f"nowhere: fetch.folder: there is no such folder in {tmp_path.resolve()}"]
    assert refused("/no/where") == ["/no/where: fetch.folder: there is no such folder"]
    Path("file.zip").touch()
    assert refused("file.zip") == [f"file.zip: fetch.folder: this is a file; {layout} file/cats/1.png"]
    assert refused() == [f"mine: the folder is empty; {layout} mine/cats/1.png"]
    write_files(MINE, {"1.png": picture_bytes(), "2.png": picture_bytes(), ".DS_Store": b"x"})
    assert refused() == [f"mine: the folder has files, but no folders; {layout} mine/cats/1.png"]


def test_an_empty_name_is_not_the_repository() -> None:
    with pytest.raises(ValidationError, match="at least 1 character"):
        fetch_options(folder="")


def test_images_next_to_classes_and_folders_within_them_are_named(classes: Path) -> None:
    write_files(classes, {"1.png": picture_bytes(), "cats/more/1.png": picture_bytes()})
    assert refused() == [
        "mine/1.png: this file is not in a class's folder",
        "mine/cats/more: expected an image file",
        AFTER,
    ]


# --- broken files


def broken() -> dict[str, bytes]:
    """Files that cannot be read, by name."""
    whole = encoded(Image.radial_gradient("L").convert("RGB"), "JPEG")
    picture = encoded(Image.radial_gradient("L"))
    data = picture.index(b"IDAT") + 20
    return {
        "a wrong checksum.png": picture[:data] + bytes([picture[data] ^ 255]) + picture[data + 1 :],
        "a wrong length.png": picture.replace(b"\0\0\0\rIHDR", b"\0\0\0\x0eIHDR"),
        "bomb.png": png(30000, 1, 0, [b""] * 30000),
        "cut off.gif": encoded(Image.radial_gradient("L"), "GIF")[:2000],
        "cut off.jpg": whole[: len(whole) // 2],
        "cut off.png": picture[: len(picture) // 2],
        "cut off.tif": encoded(Image.radial_gradient("L"), "TIFF")[:1000],
        "cut off.webp": encoded(Image.radial_gradient("L"), "WEBP")[:500],
        "header.png": picture[:20],
        "notes.txt": b"to do\n",
        "page.jpg": b"<html></html>",
        "zero.png": b"",
    }


@pytest.mark.parametrize("name", broken())
def test_a_file_that_is_broken_or_no_image_is_named_before_anything_is_copied(name: str, classes: Path) -> None:
    write_files(classes / "dogs", {name: broken()[name]})
    line, after = refused()
    assert line.startswith(f"mine/dogs/{name}: cannot be read as an image")
    assert line.isprintable()
    assert after == AFTER


def test_all_are_named_in_one_message_and_ten_a_line_each(classes: Path) -> None:
    write_files(classes / "dogs", broken())
    assert len(broken()) == 12
    *lines, more, after = refused()
    assert [line.split(": ")[0] for line in lines] == [f"mine/dogs/{name}" for name in sorted(broken())][:10]
    assert (more, after) == ("and 2 more", AFTER)


def test_nothing_is_copied_where_one_file_is_broken(classes: Path) -> None:
    params = load(ROOT / "params.yaml", components=False)
    params = params.model_copy(update={"dataset": "image_folder", "fetch": fetch_options()})
    (classes / "dogs/5.png").write_bytes(b"")
    with pytest.raises(StageError):
        fetch.main(params)
    assert not FETCHED.exists()
    (classes / "dogs/5.png").write_bytes(picture_bytes())
    fetch.main(params)
    assert len(list(FETCHED.rglob("*.png"))) == 12


def test_what_is_no_image_in_raw_data_is_named() -> None:
    write_pictures(FETCHED, cats=6, dogs=6)
    (FETCHED / "dogs/3.png").write_bytes(b"<html>")
    with pytest.raises(StageError, match=r"^data/fetched/dogs/3.png: cannot be read as an image: [^\n]*$"):
        ImageFolder().load(preprocess_options(), np.random.default_rng(0))


def test_raw_data_of_another_kind_is_refused() -> None:
    with pytest.raises(StageError, match=r"^data/fetched: the folder is empty; expected a folder that has one folder"):
        ImageFolder().load(preprocess_options(), np.random.default_rng(0))
    write_files(FETCHED, {"train-images-idx3-ubyte": b"x"})
    with pytest.raises(
        StageError, match=r"^data/fetched: the folder has files, but no folders; expected a folder that"
    ):
        ImageFolder().load(preprocess_options(), np.random.default_rng(0))


def test_too_few_images_in_raw_data_are_one_line() -> None:
    write_pictures(FETCHED, cats=6, dogs=5, birds=1)
    with pytest.raises(StageError, match=r"^data/fetched/birds: images of this class: 1; [^\n]*$"):
        ImageFolder().load(preprocess_options(), np.random.default_rng(0))


# --- links


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures that is neither in the folder nor in the repository."""
    folder = tmp_path_factory.mktemp("outside")
    write_pictures(folder, secret=6)
    return folder


LEADS_OUT = "this link leads out of the folder; links may lead into it, into the repository and into DVC's cache"


@pytest.mark.parametrize("link", ["file", "folder", "a link to a link", "nowhere", "loop", "class nowhere"])
def test_a_link_cannot_reach_outside_nor_nowhere(link: str, classes: Path, outside: Path) -> None:
    match link:
        case "file":
            (classes / "cats/9.png").symlink_to(outside / "secret/0.png")
            expected = f"mine/cats/9.png: {LEADS_OUT}"
        case "folder":
            (classes / "birds").symlink_to(outside / "secret")
            expected = f"mine/birds: {LEADS_OUT}"
        case "a link to a link":
            Path("inside.png").symlink_to(outside / "secret/0.png")
            (classes / "cats/9.png").symlink_to(Path("inside.png").absolute())
            expected = f"mine/cats/9.png: {LEADS_OUT}"
        case "nowhere":
            (classes / "cats/9.png").symlink_to("nowhere.png")
            expected = "mine/cats/9.png: this link leads nowhere"
        case "loop":
            (classes / "cats/9.png").symlink_to("9.png")
            expected = "mine/cats/9.png: this link leads nowhere"
        case _:
            (classes / "birds").symlink_to("nowhere")
            expected = "mine/birds: this link leads nowhere"
    assert refused() == [expected, AFTER]


def test_a_pipe_is_not_waited_for(classes: Path) -> None:
    import os

    os.mkfifo(classes / "cats/9.png")
    assert refused() == ["mine/cats/9.png: expected an image file", AFTER]


@pytest.mark.parametrize("place", ["the folder", "the repository", "the cache", "the repository's cache"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_may_lead_into_the_folder_the_repository_and_the_cache(
    place: str, kind: str, outside: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pics")  # outside of the repository, too
    write_pictures(folder, cats=6, dogs=6)
    content = picture_bytes("blue")
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    cached = f"files/md5/{digest[:2]}/{digest[2:]}"
    target = {
        "the folder": folder / "dogs/0.png",
        "the repository": Path("somewhere/0.png").absolute(),
        "the cache": outside / "my cache" / cached,
        "the repository's cache": Path(".dvc/cache").absolute() / cached,
    }[place]
    write_files(target.parent, {target.name: content})
    if kind == "file":
        (folder / "cats/9.png").symlink_to(target)
        assert fetched(str(folder))["cats/9.png"] == content
    elif "cache" not in place:  # DVC links files alone
        write_pictures(target.parent.parent, **{target.parent.name: 6})
        (folder / "birds").symlink_to(target.parent)
        assert len(fetched(str(folder))) == 18


@pytest.mark.parametrize("name", ["files/md5/ab/secret.png", "md5/ab/" + "0" * 30, "files/md5/" + "0" * 32])
def test_what_only_resembles_a_cache_is_outside(name: str, classes: Path, outside: Path) -> None:
    write_files(outside, {name: picture_bytes()})
    (classes / "cats/9.png").symlink_to(outside / name)
    assert refused() == [f"mine/cats/9.png: {LEADS_OUT}", AFTER]


def test_raw_data_may_be_links_into_a_cache(outside: Path) -> None:
    """As DVC leaves it where `cache.type` is `symlink`."""
    write_pictures(FETCHED, cats=6, dogs=6)
    for path in sorted(FETCHED.rglob("*.png")):
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        target = outside / f"files/md5/{digest[:2]}/{digest[2:]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        path.symlink_to(target)
    rest, test = ImageFolder().load(preprocess_options(), np.random.default_rng(0))
    assert len(rest.images) + len(test.images) == 12


# --- splits


def splits_of(counts: dict[str, int], **changes: int) -> dict[str, list[int]]:
    """Images of each class in each split, as preprocess writes them; every image is in one of them."""
    write_pictures(FETCHED, **counts)
    params: Params = load(ROOT / "params.yaml", components=False)
    options = params.preprocess.model_copy(update={"image_size": 8, "channels": 3} | changes)
    preprocess.main(params.model_copy(update={"dataset": "image_folder", "preprocess": options}))
    splits = {name: read_split(name) for name in ("train", "validation", "test")}
    every = np.concatenate([split.images[:, :, 0, 0] for split in splits.values()])
    assert len(np.unique(every, axis=0)) == sum(counts.values())
    for split in splits.values():
        assert split.classes == tuple(sorted(counts))
        assert np.array_equal(split.labels, split.images[:, 2, 0, 0])  # blue is the class
        assert split.images.flags.c_contiguous
    return {name: np.bincount(split.labels, minlength=len(counts)).tolist() for name, split in splits.items()}


def test_three_hundred_images_need_no_other_parameter() -> None:
    assert splits_of({"a": 150, "b": 100, "c": 50}) == {
        "train": [96, 64, 32],
        "validation": [24, 16, 8],
        "test": [30, 20, 10],
    }


def test_numbers_that_are_less_than_a_fifth_are_met_exactly() -> None:
    splits = splits_of({"a": 70, "b": 41, "c": 39}, test_images=20, validation_images=13)
    assert splits["test"] == [9, 6, 5]  # 9.3, 5.5, 5.2
    assert splits["validation"] == [6, 4, 3]  # 6.1, 3.5, 3.4
    assert splits["train"] == [55, 31, 31]


@pytest.mark.parametrize("asked", [1, 2, 5, 10**6])
def test_every_split_has_two_of_each_class_whatever_is_asked_for(asked: int) -> None:
    splits = splits_of({"a": 40, "b": 6, "c": 7}, test_images=asked, validation_images=asked)
    assert all(count >= 2 for counts in splits.values() for count in counts)


def test_the_smallest_folder_has_two_in_each_split() -> None:
    assert LEAST_IN_A_CLASS == 6 == 3 * LEAST_IN_A_SPLIT
    assert splits_of({"a": 6}) == {"train": [2], "validation": [2], "test": [2]}


def test_the_first_images_of_a_split_are_of_all_classes() -> None:
    """Scores and pictures that need few images take the first ones."""
    splits_of(dict.fromkeys("abcd", 50))
    for name in ("train", "validation", "test"):
        labels = read_split(name).labels
        half = np.bincount(labels[: len(labels) // 2], minlength=4) / np.bincount(labels)
        assert half.min() > 0.1, name


def test_the_seed_chooses_the_splits() -> None:
    contents = []
    for seed in (0, 0, 1):
        splits_of({"a": 30, "b": 20}, seed=seed)
        contents.append(b"".join((PROCESSED / name / "images.npy").read_bytes() for name in ("test", "validation")))
    assert contents[0] == contents[1] != contents[2]


# --- pixels; more in test_image_pixels.py


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_and_kind_become_one_array(channels: int) -> None:
    for label, (name, colour) in enumerate({"cats": (255, 0, 0), "dogs": (0, 0, 255)}.items()):
        for index in range(10):
            kind = "PNG" if index % 2 else "JPEG"
            write_files(FETCHED / name, {f"{index}.{kind}": picture_bytes(colour, (20 + index, 30 + label), kind)})
    rest, test = ImageFolder().load(preprocess_options(channels=channels), np.random.default_rng(7))
    for split, counts in ((rest, [8, 8]), (test, [2, 2])):
        assert split.image_shape == (channels, 16, 16)
        assert (split.classes, split.planes) == (("cats", "dogs"), 1)
        assert np.bincount(split.labels).tolist() == counts
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        for label, expected in enumerate({1: [[76], [29]], 3: [[255, 0, 0], [0, 0, 255]]}[channels]):
            means = split.images[split.labels == label].mean(axis=(0, 2, 3))
            assert np.allclose(means, expected, atol=2)  # ITU-R 601: 0.299 of red, 0.114 of blue


def test_scaling_keeps_rows_and_columns_in_their_place() -> None:
    """The upper half of a tall picture is white, and so are the upper rows."""
    pixels = np.zeros((40, 20), np.uint8)
    pixels[:20] = 255
    write_files(FETCHED / "cats", {f"{index}.png": encoded(Image.fromarray(pixels)) for index in range(6)})
    rest, _ = ImageFolder().load(preprocess_options(), np.random.default_rng(0))
    for image in rest.images:
        assert image[0, :7].min() > 230
        assert image[0, 9:].max() < 25


def test_a_large_picture_is_scaled_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    """Pillow warns of more than 89 million pixels, also where they are cropped."""
    write_pictures(FETCHED, cats=6)
    Image.new("1", (9700, 9600)).save(FETCHED / "cats/large.png")
    ImageFolder().load(preprocess_options(test_images=2), np.random.default_rng(0))
    assert len(recwarn) == 0
