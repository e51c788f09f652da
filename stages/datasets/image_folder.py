"""Images of your own: a local folder with one folder of images per class."""

import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from typing_extensions import override

from stages.config.errors import StageError, first_ten
from stages.config.params import Fetch, Preprocess
from stages.datasets.dataset import LEAST_IN_A_SPLIT, Dataset, hold_out_by_class, local_folder
from stages.storage.files import one_line, scratch_array
from stages.storage.images import Split
from stages.storage.paths import FETCHED, repository

LITTER = {  # of file managers, archives and network drives, in lower case; hidden files are skipped, too
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    *("__macosx", "@eadir", "$recycle.bin", "system volume information"),
}
CACHED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")  # a file in a cache of DVC, wherever that is
LEAST_IN_A_CLASS = 3 * LEAST_IN_A_SPLIT
# DVC does not see the folder: without --force it might restore what an earlier run with these parameters copied
AFTER = "nothing was copied; fix it, then: make repro, or dvc repro --force fetch and the same command again"

TURNS = {  # EXIF's orientation, and what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


class ImageFolder(Dataset):
    """Images of any size, scaled to one. The classes are the folders' names, in natural order: 2 comes before 10."""

    @override
    def fetch(self, options: Fetch) -> Iterable[tuple[str, bytes]]:
        """Path and content of every image, once all could be read.

        Raises StageError where there is no folder, or with a line for each of the first ten things that are wrong.
        """
        where = Path(options.folder)
        root = _local_folder(where)
        images, problems = _survey(root, where)
        broken = set()
        for path in images:
            try:
                _read(path, where / path.relative_to(root))
            except StageError as error:
                problems.append(str(error))
                broken.add(path)
        problems += _too_few(root, where, set(images) - broken)
        if problems:
            raise StageError("\n".join([*first_ten(problems), AFTER]))
        print(f"fetch: {where} served {len(images)} images; classes: {len({path.parent for path in images})}")
        return ((str(path.relative_to(root)), path.read_bytes()) for path in images)

    @override
    def load(self, options: Preprocess, random: np.random.Generator) -> tuple[Split, Split]:
        """All that is for training, and the test split, in random order.

        Raises StageError, in one line, as fetch would have.
        """
        paths, problems = _survey(FETCHED, FETCHED)
        places = random.permutation(len(paths))  # the first images of a split stand for all of them here and there
        images = scratch_array((len(paths), options.channels, options.image_size, options.image_size), np.uint8)
        with warnings.catch_warnings(action="ignore"):  # Pillow's, about a large picture that is cropped
            for place, path in zip(places, paths, strict=True):
                images[place] = _to_array(_read(path, path), options)
        if problems := [*problems, *_too_few(FETCHED, FETCHED, set(paths))]:
            raise StageError(problems[0])
        names = [path.parent.name for path in paths]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        labels = np.empty(len(paths), np.int64)
        labels[places] = [numbers[name] for name in names]
        return hold_out_by_class(Split(images, labels, tuple(numbers)), options.test_images, random)

    @override
    def has_changed(self, options: Fetch) -> bool:
        """Whether the folder has other images than data/fetched; a missing or empty folder counts as unchanged."""
        try:
            root = _local_folder(Path(options.folder))
            images, _ = _survey(root, root)
        except StageError:
            return False
        names = {path.relative_to(root) for path in images}
        copied = {path.relative_to(FETCHED) for path in FETCHED.rglob("*") if path.is_file()}
        try:
            return names != copied or any((root / name).read_bytes() != (FETCHED / name).read_bytes() for name in names)
        except OSError:  # fetch says which file cannot be read
            return True

    @override
    def hold_out_validation(self, whole: Split, count: int, random: np.random.Generator) -> tuple[Split, Split]:
        return hold_out_by_class(whole, count, random)


def _local_folder(where: Path) -> Path:
    """The folder that fetch.folder names; raises StageError where there is none."""
    folder = local_folder(str(where))
    if not folder.exists():
        origin = "" if where.expanduser().is_absolute() else f" in {repository()}"
        raise StageError(f"{where}: fetch.folder: there is no such folder{origin}")
    if not folder.is_dir():
        raise StageError(f"{where}: fetch.folder: this is a file; {_layout(where.with_suffix(''))}")
    if folder.resolve().is_relative_to((repository() / FETCHED).resolve()):
        raise StageError(
            f"{where}: fetch.folder: fetch writes to {FETCHED}; keep images elsewhere, such as in data/local"
        )
    return folder


def _layout(where: Path) -> str:
    return f"expected a folder that has one folder of images per class, such as {where / 'cats' / '1.png'}"


def _survey(root: Path, where: Path) -> tuple[list[Path], list[str]]:
    """Images, by class and in natural order, and a line for each thing that is wrong.

    Lines say `where` for `root`. Raises StageError where there is no class at all.
    """
    entries = _entries(root) if root.is_dir() else []
    if not any(path.is_dir() for path in entries):
        found = "the folder has files, but no folders" if entries else "the folder is empty"
        raise StageError(f"{where}: {found}; {_layout(where)}")
    images: list[Path] = []
    problems: list[str] = []
    for folder in entries:
        shown = _printable(where / folder.name)
        if reason := _refusal(folder, root) or ("" if folder.is_dir() else "this file is not in a class's folder"):
            problems.append(f"{shown}: {reason}")
            continue
        if not folder.name.strip() or not folder.name.isprintable():
            problems.append(f"{shown}: a class's name must be printable and not blank")
        for path in _entries(folder):
            if reason := _refusal(path, root) or ("" if path.is_file() else "expected an image file"):
                problems.append(f"{_printable(where / path.relative_to(root))}: {reason}")
            else:
                images.append(path)
    return images, problems


def _too_few(root: Path, where: Path, images: Collection[Path]) -> list[str]:
    """A line for each class with too few images."""
    counts = Counter(path.parent for path in images)
    needed = f"at least {LEAST_IN_A_CLASS}, {LEAST_IN_A_SPLIT} each for training, validation and test"
    return [
        f"{_printable(where / folder.name)}: images of this class: {counts[folder] or 'none'}; expected {needed}"
        for folder in _entries(root)
        if folder.is_dir() and not _refusal(folder, root) and counts[folder] < LEAST_IN_A_CLASS
    ]


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, without litter, in natural order."""
    kept = [path for path in folder.iterdir() if path.name[0] != "." and path.name.lower() not in LITTER]
    return sorted((path for path in kept if path.suffix != ".dvc"), key=_natural)


def _natural(path: Path) -> tuple[str, str]:
    """A key that sorts by the values of numbers, and regardless of case; the name itself decides ties."""
    longest = 255  # bytes of a file's name
    return re.sub("[0-9]+", lambda digits: digits[0].zfill(longest), path.name.casefold()), path.name


def _refusal(path: Path, root: Path) -> str:
    """Why an entry is refused, or an empty string. A link must not bring in what nobody meant to share."""
    if re.search("[\ud800-\udfff]", path.name):  # Python's marks for bytes that are not UTF-8
        return "the name is not valid UTF-8, which DVC needs; rename it"
    if not path.exists():
        return "this link leads nowhere"
    target = path.resolve()
    inside = any(target.is_relative_to(place) for place in (root.resolve(), repository()))
    if inside or CACHED.search(target.as_posix()):
        return ""
    return "this link leads out of the folder; links may lead into it, into the repository and into DVC's cache"


def _printable(path: Path) -> str:
    return str(path) if str(path).isprintable() else ascii(str(path))


def _read(path: Path, shown: Path) -> Image.Image:
    """The picture as a viewer shows it on white, L or RGB; raises StageError, in one line that names `shown`."""
    mode = ""
    try:
        # given a path, Pillow maps a plain TIFF that is turned by a right angle with its sides swapped
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file, Image.open(file) as picture:
            mode = f" (mode {picture.mode})"
            return _as_seen(picture)
    except UnidentifiedImageError:  # its message repeats the path and says no more
        reason = "Pillow does not recognise its content"
    except Exception as error:  # Pillow raises errors of many classes for broken files
        reason = one_line(error)
    raise StageError(f"{_printable(shown)}: cannot be read as an image{mode}: {reason}")


def _as_seen(picture: ImageFile.ImageFile) -> Image.Image:
    """The first frame, upright and on white, L or RGB; raises what Pillow raises for a broken one."""
    if picture.format == "EPS":
        raise ValueError("other programs draw EPS, each in its own way; save it as PNG")
    stored = str(picture.tile[0].args) if picture.tile else ""  # how pixels are in the file; gone after load()
    picture.load()
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return _upright(picture, _to_eight_bits(picture, stored))
    _mend_transparency(picture, stored)
    upright = _upright(picture, picture)
    if upright.mode == "La":
        upright = upright.convert("LA")  # the only conversion from it that Pillow has
    if not upright.has_transparency_data:
        return upright.convert("L" if upright.mode in ("1", "L") else "RGB")
    page = Image.new("RGBA", upright.size, "white")
    page.alpha_composite(upright.convert("RGBA"))
    return page.convert("RGB")


def _upright(picture: Image.Image, pixels: Image.Image) -> Image.Image:
    """Pixels, turned as the picture's EXIF says. ImageOps.exif_transpose fails where other tags are odd."""
    try:
        turn = TURNS.get(picture.getexif().get(0x0112, 1))
    except Exception:  # viewers ignore broken EXIF
        turn = None
    return pixels if turn is None else pixels.transpose(turn)


def _to_eight_bits(picture: Image.Image, stored: str) -> Image.Image:
    """L from 16-bit integers or from floats in [0, 1]: the whole range, scaled; raises ValueError for other values."""
    white = 1 if picture.mode == "F" else 4095 if "I;12" in stored else 65535
    levels = np.asarray(picture).astype(np.float64)
    if not ((levels >= 0) & (levels <= white)).all():  # refuses NaN, too
        raise ValueError(f"values are from {levels.min():g} to {levels.max():g}; black is 0, and white is {white}")
    transparent = levels == picture.info.get("transparency")
    if getattr(picture, "tag_v2", {}).get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts 8-bit images only
        levels = white - levels
    return Image.fromarray(np.where(transparent, 255, np.rint(levels / white * 255)).astype(np.uint8))


def _mend_transparency(picture: Image.Image, stored: str) -> None:
    """Scale a PNG's transparent colour to 8 bits: Pillow scales pixels alone."""
    if (colour := picture.info.get("transparency")) is None:
        return
    if stored in ("L;2", "L;4"):
        picture.info["transparency"] = colour * 255 // (2 ** int(stored[-1]) - 1)
    elif stored == "RGB;16B":
        picture.info["transparency"] = tuple(value >> 8 for value in colour)


def _to_array(picture: Image.Image, options: Preprocess) -> np.ndarray:
    """A picture as uint8 (channels, size, size)."""
    size, coloured = options.image_size, picture.convert("L" if options.channels == 1 else "RGB")
    if options.fit == "crop":  # at whole pixels: half a pixel would blur what is not scaled
        width, height = coloured.size
        side = min(coloured.size)
        left, top = (width - side) // 2, (height - side) // 2
        coloured = coloured.crop((left, top, left + side, top + side))
    longer = max(coloured.size)
    padded = [max(1, round(size * length / longer)) for length in coloured.size]
    width, height = padded if options.fit == "pad" else (size, size)
    scaled = coloured.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(scaled).reshape(height, width, -1)
    return _padded(pixels, size).transpose(2, 0, 1)


def _padded(pixels: np.ndarray, size: int) -> np.ndarray:
    """Pixels (height, width, channels) in the middle of a square of the median colour of their border."""
    height, width, channels = pixels.shape
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    square = np.empty((size, size, channels), np.uint8)
    square[:] = np.median(border, axis=0).astype(np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
