"""Images between disk and networks: uint8 0..255 on disk and in pictures, float -1..1 inside."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import max_pool2d

from stages.settings.errors import StageError
from stages.support.files import PROCESSED, read_array


class Split(NamedTuple):
    """uint8 images (count, channels, height, width) and int64 labels (count,)."""

    images: np.ndarray
    labels: np.ndarray

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def classes(self) -> int:
        """Number of classes: labels run from 0 without gaps."""
        return int(self.labels.max()) + 1


def read_split(name: str) -> Split:
    """The preprocessed split: train, validation or test."""
    folder = PROCESSED / name
    split = Split(read_array(folder / "images.npy"), read_array(folder / "labels.npy"))
    if split.images.dtype != np.uint8 or split.images.ndim != 4:
        raise StageError(f"{folder}/images.npy: expected uint8 (count, channels, height, width)")
    if split.labels.shape != split.images.shape[:1] or split.labels.dtype != np.int64 or not len(split.labels):
        raise StageError(f"{folder}/labels.npy: expected int64, one label an image, at least one")
    return split


def to_float(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 -1..1."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Float -1..1 to uint8 0..255, rounded to the nearest level."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def to_outlines(images: Tensor) -> Tensor:
    """Float images in [-1, 1] to their outlines: a morphological gradient, dilation minus erosion over 3 × 3 pixels."""
    dilated, eroded = max_pool2d(images, 3, 1, 1), -max_pool2d(-images, 3, 1, 1)
    return dilated - eroded - 1


def grid(images: np.ndarray, columns: int, scale: int = 2) -> np.ndarray:
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


def grid_png(images: np.ndarray, columns: int, scale: int = 2) -> bytes:
    """PNG bytes of such a picture."""
    buffer = io.BytesIO()
    Image.fromarray(grid(images, columns, scale)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
