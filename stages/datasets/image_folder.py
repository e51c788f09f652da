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
        classes = _classes(folder, where)
        images = [path for paths in classes.values() for path in paths]
        for path in images:  # a link must not lead elsewhere
            if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
                raise StageError(f"{where}/{path.relative_to(folder)}: expected an image, inside {where}")
        print(f"fetch: {where} serves {len(images)} images of {len(classes)} classes")
        return ((str(path.relative_to(folder)), path.read_bytes()) for path in images)

    @override
    def load(self, options: Preprocess, random: np.random.Generator) -> tuple[Split, Split]:
        classes = _classes(RAW, RAW)
        images = np.stack([_read(path, options) for paths in classes.values() for path in paths])
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(paths) for paths in classes.values()])
        return hold_out(Split(images, labels, tuple(classes)), options.test_images, "test", random)


def _classes(root: Path, where: object) -> dict[str, list[Path]]:
    classes = {part.name: images for part in sorted(root.glob("[!.]*/")) if (images := sorted(part.glob("[!.]*")))}
    if len(classes) < 2:
        raise StageError(f"{where}: expected at least two folders of images, one a class")
    return classes


def _read(path: Path, options: Preprocess) -> np.ndarray:
    size, mode = options.image_size, "L" if options.channels == 1 else "RGB"
    try:
        with Image.open(path) as picture:
            scaled = picture.convert(mode).resize((size, size), Image.Resampling.LANCZOS)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise StageError(f"{path}: cannot be read as an image: {one_line(error)}") from None
    return np.asarray(scaled).reshape(size, size, -1).transpose(2, 0, 1)
