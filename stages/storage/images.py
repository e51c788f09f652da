"""Splits of a data set on disk, and grids of images as pictures; all uint8."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from stages.config.errors import StageError
from stages.storage.files import read_array, read_json, scratch_array, write_array, write_json
from stages.storage.paths import CLASSES, IMAGES, LABELS, PROCESSED

BLOCK = 1000  # images that are copied at a time
GRID = 64  # images that show the course of a training
SCALE = 2  # of pictures: pixels of the screen a pixel


class Split(NamedTuple):
    """uint8 images (count, channels, height, width), int64 labels (count,), and the names of the classes.

    Where an image is several independent `planes` (the three digits of stacked_mnist), the classes are all
    combinations of theirs, the first plane's counting most.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    planes: int = 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def take(self, chosen: np.ndarray) -> Split:
        """The images of these indices."""
        images = scratch_array((len(chosen), *self.image_shape), np.uint8)
        for start in range(0, len(chosen), BLOCK):
            some = slice(start, start + BLOCK)
            images[some] = self.images[chosen[some]]
        return self._replace(images=images, labels=self.labels[chosen])


def read_split(name: str) -> Split:
    """The preprocessed split: train, validation or test; raises StageError where it is missing or malformed.

    Images are read from the file where they are used: a large split does not have to fit the memory.
    """
    folder = PROCESSED / name
    about = read_json(folder / CLASSES)
    images, labels = read_array(folder / IMAGES, mapped=True), read_array(folder / LABELS)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise StageError(f"{folder / IMAGES}: expected uint8 (count, channels, height, width)")
    if labels.shape != images.shape[:1] or labels.dtype != np.int64 or not len(labels):
        raise StageError(f"{folder / LABELS}: expected int64, one label per image, at least one")
    return Split(images, labels, tuple(about["classes"]), about["planes"])


def write_split(name: str, split: Split) -> None:
    """The inverse."""
    folder = PROCESSED / name
    write_array(folder / IMAGES, split.images)
    write_array(folder / LABELS, split.labels)
    write_json(folder / CLASSES, {"classes": list(split.classes), "planes": split.planes})


def data_digest(split: Split) -> str:
    """SHA-256 of a split's images and labels."""
    digest = hashlib.sha256()
    for array in (split.images, split.labels):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def grid(images: np.ndarray, columns: int, scale: int = SCALE) -> np.ndarray:
    """uint8 images (count, 1 or 3, height, width) in rows, left to right: one picture (height, width[, 3])."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    gap = 1
    sheet = np.zeros((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), np.uint8)
    for index, image in enumerate(images):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    sheet = sheet.repeat(scale, axis=0).repeat(scale, axis=1)
    return sheet.squeeze(2) if channels == 1 else sheet


def grid_png(images: np.ndarray, columns: int, scale: int = SCALE) -> bytes:
    """PNG bytes of such a picture."""
    buffer = io.BytesIO()
    Image.fromarray(grid(images, columns, scale)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def grids_to_gif(moments: Iterable[np.ndarray], columns: int, scale: int, milliseconds: int | list[int]) -> bytes:
    """GIF bytes of an animation that repeats: a grid of images a moment, shown for so long."""
    first, *others = (Image.fromarray(grid(images, columns, scale)) for images in moments)
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return buffer.getvalue()
