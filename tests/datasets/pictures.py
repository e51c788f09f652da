"""Picture files, written byte by byte where Pillow cannot write what other programs do."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

from stages.storage.files import write_bytes


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file of that kind."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def picture_bytes(colour: Any = "red", size: tuple[int, int] = (5, 4), kind: str = "PNG") -> bytes:
    """A picture of one colour."""
    return encoded(Image.new("RGB", size, colour), kind)


def write_pictures(folder: Path, **counts: int) -> None:
    """So many pictures in each class's folder, all different."""
    for label, (name, count) in enumerate(counts.items()):
        for index in range(count):
            write_bytes(folder / name / f"{index}.png", picture_bytes((index % 256, index // 256, label)))


def chunk(kind: bytes, data: bytes) -> bytes:
    """One part of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, depth: int, colour: int, rows: list[bytes], **extra: bytes) -> bytes:
    """A PNG file; colour 0 is grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *((name.encode(), data) for name, data in extra.items())]
    parts += [(b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(width: int, height: int, bits: int, photometric: int, pixels: bytes, **changes: int) -> bytes:
    """A little-endian TIFF file, not compressed; photometric 0 is white-is-zero, 1 black-is-zero, 2 RGB.

    `samples` per pixel; `extra` 1 is premultiplied alpha, `kind` 2 signed, 3 float; `turned` as EXIF's orientation.
    """
    samples = changes.pop("samples", 1)
    widths = struct.pack(f"<{samples}H", *[bits] * samples)
    pixels += b"\0" * (len(pixels) % 2)
    after = 8 + len(pixels)  # where what does not fit into a tag begins
    tags = {256: (4, 1, width), 257: (4, 1, height), 259: (3, 1, 1), 262: (3, 1, photometric)}
    tags |= {258: (3, samples, after if samples > 2 else int.from_bytes(widths, "little"))}
    tags |= {273: (4, 1, 8), 277: (3, 1, samples), 278: (4, 1, height), 279: (4, 1, len(pixels))}
    numbers = {"extra": 338, "kind": 339, "turned": 274}
    tags |= {numbers[name]: (3, 1, value) for name, value in changes.items()}
    listed = b"".join(struct.pack("<HHII", number, *tag) for number, tag in sorted(tags.items()))
    directory = struct.pack("<H", len(tags)) + listed + bytes(4)
    return b"II*\0" + struct.pack("<I", after + len(widths)) + pixels + widths + directory
