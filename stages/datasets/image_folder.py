"""Images of your own: a local folder that holds a folder of images a class."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from typing_extensions import override

from stages.config.errors import StageError
from stages.config.params import Fetch, Preprocess
from stages.datasets.dataset import Dataset, hold_out
from stages.storage.files import one_line
from stages.storage.images import Split
from stages.storage.paths import RAW, repository


class ImageFolder(Dataset):
    """Images of any size, scaled to one; the classes are the names of the folders, sorted."""

    @override
    def fetch(self, options: Fetch) -> Iterable[tuple[str, bytes]]:
        where, folder = options.folder, repository() / options.folder
        images = _images(folder, where)
        for path in images:  # a link must not lead elsewhere
            if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
                raise StageError(f"{where}/{path.relative_to(folder)}: expected an image, inside {where}")
        print(f"fetch: {where} served {len(images)} images of {len({path.parent for path in images})} classes")
        return ((str(path.relative_to(folder)), path.read_bytes()) for path in images)

    @override
    def load(self, options: Preprocess, random: np.random.Generator) -> tuple[Split, Split]:
        paths = _images(RAW, RAW)
        classes, labels = np.unique([path.parent.name for path in paths], return_inverse=True)
        images = np.stack([_read(path, options) for path in paths])
        return hold_out(Split(images, labels, tuple(classes.tolist())), options.test_images, "test", random)


def _images(root: Path, where: object) -> list[Path]:
    folders = [path for path in root.iterdir() if path.is_dir() and path.name[0] != "."] if root.is_dir() else []
    images = sorted(path for folder in folders for path in folder.iterdir() if path.name[0] != ".")
    if len({path.parent for path in images}) < 2:
        raise StageError(f"{where}: expected at least two folders of images, one a class")
    return images


def _read(path: Path, options: Preprocess) -> np.ndarray:
    size, mode = options.image_size, "L" if options.channels == 1 else "RGB"
    try:
        with Image.open(path) as picture:
            scaled = picture.convert(mode).resize((size, size), Image.Resampling.LANCZOS)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise StageError(f"{path}: cannot be read as an image: {one_line(error)}") from None
    return np.asarray(scaled).reshape(size, size, -1).transpose(2, 0, 1)
