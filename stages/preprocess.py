"""Raw files to uint8 arrays in three fixed splits: data/raw -> data/processed/{train,validation,test}."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stages.settings.command import run_stage
from stages.settings.datasets import DATASETS, Pair
from stages.settings.errors import ParameterError, StageError
from stages.settings.params import Params, Preprocess
from stages.support.files import PROCESSED, RAW, one_line, write_array

IDX_TYPES: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint8), 12: np.dtype(">i4")}
STACK = 3  # digits of stacked_mnist, one a colour
Images = tuple[np.ndarray, np.ndarray]  # uint8 (count, channels, height, width), int64 labels (count,)


def main(params: Params) -> None:
    """Split what is for training in train and validation, at random but the same for a seed; keep test apart."""
    random = np.random.default_rng(params.preprocess.seed)
    if params.dataset == "image_folder":
        (images, labels), test = hold_out(read_folder(params.preprocess), params.preprocess.test_images, "test", random)
    else:
        dataset = DATASETS[params.dataset]
        (images, labels), test = read_pair(dataset.train), read_pair(dataset.test, dataset.test_images)
    train, validation = hold_out((images, labels), params.preprocess.validation_images, "validation", random)
    for name, split in {"train": train, "validation": validation, "test": test}.items():
        if params.dataset == "stacked_mnist":
            split = stack(split, random)
        split_images, split_labels = split
        write_array(PROCESSED / name / "images.npy", split_images)
        write_array(PROCESSED / name / "labels.npy", split_labels)
        print(f"preprocess: {name}: {len(split_images)} images")


def hold_out(whole: Images, count: int, name: str, random: np.random.Generator) -> tuple[Images, Images]:
    """The rest, and `count` images chosen at random; raises ParameterError where no image would be left."""
    images, labels = whole
    if count >= len(images):
        raise ParameterError(
            f"params.yaml: preprocess.{name}_images: {count} is not allowed: "
            f"there are {len(images)} images, and training needs some"
        )
    order = random.permutation(len(images))
    held_out, rest = np.sort(order[:count]), np.sort(order[count:])
    return (images[rest], labels[rest]), (images[held_out], labels[held_out])


def stack(digits: Images, random: np.random.Generator) -> Images:
    """As many images of three digits drawn at random, one a colour; the label is their number, 0 to 999.

    (Metz et al., 2017, section 3.3.1.)
    """
    images, labels = digits
    chosen = random.integers(len(images), size=(len(images), STACK))
    return images[chosen, 0], labels[chosen] @ 10 ** np.arange(STACK - 1, -1, -1)


def read_pair(names: Pair, count: int | None = None) -> Images:
    """The images and labels of a pair of IDX files, or the first `count`; raises StageError where numbers differ."""
    images, labels = read_idx(RAW / names.images)[:, np.newaxis], read_idx(RAW / names.labels)
    if len(images) != len(labels):
        raise StageError(f"{RAW}: {names.images} has {len(images)} images but {len(labels)} labels")
    classes = labels if labels.ndim == 1 else labels[:, 0]  # QMNIST says more of an image, the class first
    return images[:count], classes[:count].astype(np.int64)


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file: magic 0, 0, type, rank; big-endian 32-bit sizes; uint8 or int32 values.

    Raises StageError where the file is missing or its header does not fit its length.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {error.strerror}") from None
    header = 4 + 4 * content[3] if len(content) > 3 else 4
    if len(content) < header or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise StageError(f"{path}: not an IDX file of bytes or integers")
    shape, kind = tuple(np.frombuffer(content[4:header], ">u4").tolist()), IDX_TYPES[content[2]]
    if len(content) != header + np.prod(shape, dtype=np.int64) * kind.itemsize:
        raise StageError(f"{path}: its header says {shape}, its length {len(content)} does not fit")
    return np.frombuffer(content, kind, offset=header).reshape(shape)


def read_folder(options: Preprocess) -> Images:
    """Images of data/raw, a folder a class, all scaled to one size; classes count from 0 in the order of their names.

    Raises StageError for what is no image.
    """
    from PIL import Image

    images, labels = [], []
    folders = sorted(path for path in RAW.iterdir() if path.is_dir())
    for label, folder in enumerate(folders):
        for path in sorted(folder.iterdir()):
            try:
                with Image.open(path) as picture:
                    coloured = picture.convert("L" if options.channels == 1 else "RGB")
                    scaled = coloured.resize((options.image_size, options.image_size), Image.Resampling.LANCZOS)
            except (OSError, ValueError, Image.DecompressionBombError) as error:
                raise StageError(f"{path}: cannot be read as an image: {one_line(error)}") from None
            images.append(np.asarray(scaled).reshape(options.image_size, options.image_size, -1).transpose(2, 0, 1))
            labels.append(label)
    return np.stack(images), np.array(labels, np.int64)


if __name__ == "__main__":
    run_stage(main, __doc__)
