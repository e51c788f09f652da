"""Raw IDX files to uint8 arrays in three fixed splits: data/raw -> data/processed/{train,validation,test}."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.support.command import run_stage
from stages.support.errors import ParameterError, StageError
from stages.support.files import PROCESSED, RAW, write_array
from stages.support.params import Params


def main(params: Params) -> None:
    """Split the 60,000 in train and validation, at random but the same for a seed; keep test apart."""
    images, labels = read_pair("train")
    held_out = params.preprocess.validation_images
    if held_out >= len(images):
        raise ParameterError(
            f"params.yaml: preprocess.validation_images: {held_out} is not allowed: "
            f"there are {len(images)} images, and training needs some"
        )
    order = np.random.default_rng(params.preprocess.seed).permutation(len(images))
    validation, train = np.sort(order[:held_out]), np.sort(order[held_out:])
    splits = {
        "train": (images[train], labels[train]),
        "validation": (images[validation], labels[validation]),
        "test": read_pair("t10k"),
    }
    for name, (split_images, split_labels) in splits.items():
        write_array(PROCESSED / name / "images.npy", split_images)
        write_array(PROCESSED / name / "labels.npy", split_labels)
        print(f"preprocess: {name}: {len(split_images)} images")


def read_pair(prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (count, 1, height, width) and int64 labels (count,); raises StageError if they differ in count."""
    images = read_idx(RAW / f"{prefix}-images-idx3-ubyte")[:, np.newaxis]
    labels = read_idx(RAW / f"{prefix}-labels-idx1-ubyte").astype(np.int64)
    if len(images) != len(labels):
        raise StageError(f"{RAW}: {prefix} has {len(images)} images but {len(labels)} labels")
    return images, labels


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an IDX file: magic 0, 0, 8, rank; big-endian 32-bit sizes; the bytes.

    Raises StageError where the file is missing or its header does not fit its length.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {error.strerror}") from None
    header = 4 + 4 * content[3] if len(content) > 3 else 4
    if len(content) < header or content[:3] != b"\x00\x00\x08":
        raise StageError(f"{path}: not an IDX file of bytes")
    shape = tuple(np.frombuffer(content[4:header], ">u4").tolist())
    if len(content) != header + np.prod(shape, dtype=np.int64):
        raise StageError(f"{path}: its header says {shape}, its length {len(content)} does not fit")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


if __name__ == "__main__":
    run_stage(main, __doc__)
