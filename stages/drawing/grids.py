"""Pictures of many images side by side."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def grid_png(images: np.ndarray, columns: int, scale: int = 2) -> bytes:
    """PNG bytes of uint8 images (count, 1 or 3, height, width) in rows, left to right."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    gap = 1
    sheet = np.zeros((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), np.uint8)
    for index, image in enumerate(images):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    picture = Image.fromarray(sheet.squeeze(2) if channels == 1 else sheet)
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
