"""What is trained on is what a viewer shows on white: kinds, depths, transparency, orientation, frames, shapes."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from stages.config.errors import StageError
from stages.datasets.image_folder import ImageFolder, _read
from stages.storage.files import write_bytes
from stages.storage.paths import FETCHED
from tests.datasets.pictures import encoded, png, tiff
from tests.datasets.small import fetch_options, preprocess_options

SIZE = 8
RAMP = np.arange(64, dtype=np.uint8).reshape(SIZE, SIZE) * 4  # no two pixels are the same
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=2)
HALVES = np.where(np.arange(SIZE) < 4, 0, 255).astype(np.uint8) * np.ones((SIZE, 1), np.uint8)  # black, white
ALPHA = np.ascontiguousarray(RAMP[:, ::-1])
DEEP = np.linspace(0, 65535, 64).astype(np.uint16).reshape(SIZE, SIZE)
PALETTE = [10, 20, 30, 0, 0, 0, 200, 100, 0, 1, 2, 3]
INDICES = np.arange(64, dtype=np.uint8).reshape(SIZE, SIZE) % 4
INDEXED = np.array(PALETTE, np.uint8).reshape(4, 3)[INDICES]
CLEAR = INDICES == 1  # black where it is not transparent


def loaded(content: bytes, name: str = "x.png", **options: Any) -> np.ndarray:
    """The picture as images.npy would have it: (channels, size, size), one for all copies."""
    for index in range(6):
        write_bytes(FETCHED / "a" / f"{index}{name}", content)
    given = {"image_size": SIZE, "channels": 3} | options
    rest, test = ImageFolder().load(preprocess_options(**given), np.random.default_rng(0))
    images = np.concatenate([rest.images, test.images])
    assert len(images) == 6
    assert (images == images[0]).all()
    return images[0]


def on_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours (height, width, 3) and alpha (height, width), composed as floats."""
    share = alpha[..., None] / 255
    return colours * share + 255 * (1 - share)


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(levels[..., None], 3, axis=2).astype(float)


def indexed(**options: Any) -> Image.Image:
    picture = Image.fromarray(INDICES).copy()
    picture.putpalette(PALETTE)
    return picture


def rows(values: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in values]


def packed(bits: int) -> list[bytes]:
    """INDICES at so many bits per pixel."""
    length = SIZE * bits // 8
    values = [sum(int(value) << (bits * (7 - place)) for place, value in enumerate(row)) for row in INDICES]
    return [value.to_bytes(length, "big") for value in values]


def depth_12() -> bytes:
    return b"".join(((int(a) << 12) | int(b)).to_bytes(3, "big") for a, b in (DEEP >> 4).reshape(-1, 2))


def packed_ones() -> list[bytes]:
    return [b"\x0f"] * SIZE  # black and transparent, then white


def with_alpha(picture: Image.Image) -> Image.Image:
    """PA of P."""
    picture = picture.convert("PA")
    picture.putalpha(Image.fromarray(ALPHA))
    return picture


def lab_planes() -> list[Image.Image]:
    """Lightness from a ramp; a and b of grey, which Pillow keeps as 128."""
    neutral = Image.new("L", (8, 8), 128)
    return [Image.fromarray(RAMP), neutral, neutral]


def lab_greys() -> np.ndarray:
    """Levels of sRGB for a lightness (CIE 15): L* to luminance to the curve of IEC 61966-2-1."""
    lightness = RAMP / 255 * 100
    luminance = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.2963)
    curve = np.where(luminance > 0.0031308, 1.055 * luminance ** (1 / 2.4) - 0.055, 12.92 * luminance)
    return np.rint(curve * 255)


RGBA = Image.fromarray(np.dstack([COLOURS, ALPHA]))
GREY_ALPHA = Image.fromarray(np.dstack([RAMP, ALPHA]), "LA")
LAST = np.where(CLEAR, 0, 255)
BIG = DEEP.astype(">u2")
PREMULTIPLIED = np.rint(RAMP * (ALPHA / 255)).astype(np.uint8)

# a file, and its pixels (8, 8, 3) on white
EXACT: dict[str, tuple[Callable[[], bytes], np.ndarray]] = {
    "RGB": (lambda: encoded(Image.fromarray(COLOURS)), COLOURS),
    "L": (lambda: encoded(Image.fromarray(RAMP)), grey(RAMP)),
    "1": (lambda: encoded(Image.fromarray(HALVES).convert("1")), grey(HALVES)),
    "P": (lambda: encoded(indexed()), INDEXED),
    "P, one entry transparent": (
        lambda: encoded(indexed(), transparency=1),
        on_white(INDEXED, LAST),
    ),
    "P, alpha per entry": (
        lambda: encoded(indexed(), transparency=bytes([255, 0, 255, 0])),
        on_white(INDEXED, np.where(INDICES % 2, 0, 255)),
    ),
    "L, a transparent level": (
        lambda: encoded(Image.fromarray(RAMP), transparency=8),
        grey(np.where(RAMP == 8, 255, RAMP)),
    ),
    "1, a transparent level": (lambda: png(8, 1, 0, packed_ones(), tRNS=b"\0\0"), grey(np.full((8, 8), 255))),
    "2 bits, a transparent level": (
        lambda: png(8, 2, 0, packed(2), tRNS=b"\0\1"),
        grey(np.where(CLEAR, 255, INDICES * 85)),
    ),
    "4 bits, a transparent level": (
        lambda: png(8, 4, 0, packed(4), tRNS=b"\0\1"),
        grey(np.where(CLEAR, 255, INDICES * 17)),
    ),
    "2 bits": (lambda: png(8, 2, 0, packed(2)), grey(INDICES * 85)),
    "RGB, a transparent colour": (
        lambda: encoded(Image.fromarray(INDEXED), transparency=(0, 0, 0)),
        on_white(INDEXED, LAST),
    ),
    "RGB of 16 bits": (lambda: png(8, 16, 2, rows(COLOURS.astype(">u2") * 257)), COLOURS),
    "RGB of 16 bits, a transparent colour": (
        lambda: png(8, 16, 2, rows(INDEXED.astype(">u2") * 257), tRNS=struct.pack(">3H", 2570, 5140, 7710)),
        on_white(INDEXED, np.where(INDICES == 0, 0, 255)),
    ),
    "I;16, PNG": (lambda: png(8, 16, 0, rows(BIG)), grey(np.rint(DEEP / 257))),
    "I;16, a transparent level": (
        lambda: png(8, 16, 0, rows(BIG), tRNS=int(DEEP[0, 3]).to_bytes(2, "big")),
        grey(np.where(DEEP[0, 3] == DEEP, 255, np.rint(DEEP / 257))),
    ),
    "I;16, TIFF": (lambda: tiff(8, 8, 16, 1, DEEP.tobytes()), grey(np.rint(DEEP / 257))),
    "I;16, TIFF, white is zero": (lambda: tiff(8, 8, 16, 0, DEEP.tobytes()), grey(255 - np.rint(DEEP / 257))),
    "I;16B, TIFF": (
        lambda: encoded(Image.frombytes("I;16B", (8, 8), BIG.tobytes()), "TIFF"),
        grey(np.rint(DEEP / 257)),
    ),
    "I;16, TIFF, compressed": (
        lambda: encoded(Image.fromarray(DEEP), "TIFF", compression="tiff_lzw"),
        grey(np.rint(DEEP / 257)),
    ),
    "12 bits": (lambda: tiff(8, 8, 12, 1, depth_12()), grey(np.rint((DEEP >> 4) / 4095 * 255))),
    "I, TIFF": (lambda: tiff(8, 8, 32, 1, DEEP.astype("<i4").tobytes(), kind=2), grey(np.rint(DEEP / 257))),
    "I, PGM": (lambda: encoded(Image.fromarray(DEEP.astype(np.int32)), "PPM"), grey(np.rint(DEEP / 257))),
    "F": (lambda: tiff(8, 8, 32, 1, (RAMP / 255).astype("<f4").tobytes(), kind=3), grey(RAMP)),
    "F, white is zero": (lambda: tiff(8, 8, 32, 0, (RAMP / 255).astype("<f4").tobytes(), kind=3), grey(255 - RAMP)),
    "L, TIFF, white is zero": (lambda: tiff(8, 8, 8, 0, RAMP.tobytes()), grey(255 - RAMP)),
    "CMYK without black": (
        lambda: tiff(8, 8, 8, 5, np.dstack([255 - COLOURS, RAMP * 0]).tobytes(), samples=4),
        COLOURS,
    ),
    "CMYK, black alone": (
        lambda: tiff(8, 8, 8, 5, np.dstack([COLOURS * 0, 255 - RAMP]).tobytes(), samples=4),
        grey(RAMP),
    ),
    "BMP": (lambda: encoded(Image.fromarray(COLOURS), "BMP"), COLOURS),
    "PPM": (lambda: encoded(Image.fromarray(COLOURS), "PPM"), COLOURS),
    "WebP": (lambda: encoded(Image.fromarray(COLOURS), "WEBP", lossless=True), COLOURS),
}
# the same, where rounding may differ by a level, or where the conversion is one of colour spaces
CLOSE: dict[str, tuple[Callable[[], bytes], np.ndarray, float]] = {
    "RGBA": (lambda: encoded(RGBA), on_white(COLOURS, ALPHA), 1),
    "RGBA of 16 bits": (
        lambda: png(8, 16, 6, rows(np.dstack([COLOURS, ALPHA]).astype(">u2") * 257)),
        on_white(COLOURS, ALPHA),
        1,
    ),
    "LA": (lambda: encoded(GREY_ALPHA), on_white(grey(RAMP), ALPHA), 1),
    "P, half transparent": (
        lambda: encoded(indexed(), transparency=bytes([255, 128])),
        on_white(INDEXED, np.where(CLEAR, 128, 255)),
        1,
    ),
    "La": (
        lambda: tiff(8, 8, 8, 1, np.dstack([PREMULTIPLIED, ALPHA]).tobytes(), samples=2, extra=1),
        grey(PREMULTIPLIED + 255.0 - ALPHA),
        1,
    ),
    "RGBa": (
        lambda: tiff(8, 8, 8, 2, np.dstack([*[PREMULTIPLIED] * 3, ALPHA]).tobytes(), samples=4, extra=1),
        grey(PREMULTIPLIED + 255.0 - ALPHA),
        1,
    ),
    "PA": (lambda: encoded(with_alpha(indexed()), "TIFF"), on_white(INDEXED, ALPHA), 1),
    "GIF": (lambda: encoded(indexed(), "GIF", transparency=1), on_white(INDEXED, LAST), 0),
    "TGA": (lambda: encoded(RGBA, "TGA"), on_white(COLOURS, ALPHA), 1),
    "ICO": (lambda: encoded(RGBA, "ICO", sizes=[(8, 8)]), on_white(COLOURS, ALPHA), 1),
    "WebP, alpha": (lambda: encoded(RGBA, "WEBP", lossless=True, exact=True), on_white(COLOURS, ALPHA), 1),
    "JPEG2000, alpha": (lambda: encoded(RGBA, "JPEG2000"), on_white(COLOURS, ALPHA), 1),
    "YCbCr": (lambda: encoded(Image.fromarray(COLOURS).convert("YCbCr"), "TIFF"), COLOURS, 3),
    "LAB": (lambda: encoded(Image.merge("LAB", lab_planes()), "TIFF"), grey(lab_greys()), 2),
    "JPEG": (lambda: encoded(Image.fromarray(HALVES), "JPEG", quality=100), grey(HALVES), 1),
    "JPEG, CMYK": (
        lambda: encoded(
            Image.merge("CMYK", [*[Image.new("L", (8, 8))] * 3, Image.fromarray(HALVES)]), "JPEG", quality=100
        ),
        grey(255 - HALVES),
        1,
    ),
}


@pytest.mark.parametrize("kind", EXACT)
def test_every_kind_is_what_a_viewer_shows_on_white(kind: str) -> None:
    content, expected = EXACT[kind]
    assert np.array_equal(loaded(content()).transpose(1, 2, 0), expected)


@pytest.mark.parametrize("kind", CLOSE)
def test_every_kind_with_fractions_is_what_a_viewer_shows_on_white(kind: str) -> None:
    content, expected, tolerance = CLOSE[kind]
    shown = loaded(content()).transpose(1, 2, 0).astype(float)
    assert np.abs(shown - expected).max() <= tolerance
    assert np.ptp(shown) > 70


@pytest.mark.parametrize("kind", [*EXACT, *CLOSE])
def test_fetch_takes_every_kind(kind: str) -> None:
    content = (EXACT | CLOSE)[kind][0]()
    for index in range(6):
        write_bytes(FETCHED.parents[1] / "mine/a" / f"{index}.png", content)
    assert dict(ImageFolder().fetch(fetch_options())) == {f"a/{index}.png": content for index in range(6)}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA", "RGBa", "La"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_black_ellipse_without_a_background_stays_an_ellipse(mode: str, channels: int) -> None:
    drawn = Image.new("RGBA", (32, 32))
    ImageDraw.Draw(drawn).ellipse((4, 8, 27, 23), "black")
    if mode == "La":
        alpha = np.asarray(drawn.getchannel("A"))
        content = tiff(32, 32, 8, 1, np.dstack([alpha * 0, alpha]).tobytes(), samples=2, extra=1)
    elif mode == "RGBa":
        content = tiff(32, 32, 8, 2, np.asarray(drawn).tobytes(), samples=4, extra=1)
    else:
        content = encoded(drawn.convert(mode), "TIFF" if mode == "PA" else "PNG")
    expected = Image.new("L", (32, 32), "white")
    ImageDraw.Draw(expected).ellipse((4, 8, 27, 23), "black")
    shown = loaded(content, image_size=32, channels=channels)
    assert len(shown) == channels
    assert (shown == np.asarray(expected)).all()


def test_the_edge_of_a_transparent_picture_is_scaled_on_white() -> None:
    """What colour is behind alpha 0 must not shine through."""
    picture = Image.new("RGBA", (64, 64), (0, 255, 0, 0))
    ImageDraw.Draw(picture).rectangle((0, 0, 30, 63), (255, 255, 255, 255))
    assert (loaded(encoded(picture)) == 255).all()


def test_hsv_is_converted() -> None:
    """No kind of file holds it, but Pillow's own contract does."""
    from stages.datasets.image_folder import _as_seen

    picture: Any = Image.new("HSV", (1, 1), (85, 255, 255))
    picture.tile = []
    assert _as_seen(picture).getpixel((0, 0)) == (0, 255, 0)


TURNED = {  # EXIF's orientation: the picture that a viewer shows, of the stored one
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "16 bits", "P", "JPEG"])
def test_pictures_are_turned_as_exif_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = TURNED[orientation](COLOURS)
    picture, tolerance = Image.fromarray(COLOURS), 0
    match kind:
        case "TIFF":
            content = tiff(8, 8, 8, 1, RAMP.tobytes(), turned=orientation)
            expected = grey(TURNED[orientation](RAMP))
        case "16 bits":
            content = encoded(Image.fromarray(DEEP), exif=exif)
            expected = grey(TURNED[orientation](np.rint(DEEP / 257)))
        case "P":
            content = encoded(indexed(), transparency=1, exif=exif)
            expected = TURNED[orientation](on_white(INDEXED, LAST))
        case "JPEG":
            content = encoded(
                Image.fromarray(np.kron(COLOURS[:2, :2], np.ones((16, 16, 1), np.uint8))), "JPEG", exif=exif
            )
            plain = Image.open(io.BytesIO(encoded(Image.open(io.BytesIO(content)).convert("RGB"))))
            expected, picture = TURNED[orientation](np.asarray(plain)), plain
        case _:
            content = encoded(picture, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    shown = loaded(content, image_size=len(expected)).transpose(1, 2, 0)
    assert np.abs(shown - expected).max() <= tolerance


@pytest.mark.parametrize("orientation", TURNED)
def test_a_plain_tiff_that_is_not_square_is_turned(tmp_path: Path, orientation: int) -> None:
    """Given a path, Pillow maps such a file with its sides swapped."""
    wide = np.arange(24 * 16, dtype=np.uint16).reshape(16, 24).astype(np.uint8)
    (tmp_path / "turned.tif").write_bytes(tiff(24, 16, 8, 1, wide.tobytes(), turned=orientation))
    picture = _read(tmp_path / "turned.tif", Path("turned.tif"))
    assert np.array_equal(np.asarray(picture), TURNED[orientation](wide))


def test_a_picture_that_is_not_square_is_turned_before_it_is_cropped() -> None:
    pixels = np.full((10, 30, 3), 100, np.uint8)
    pixels[:, 10:20] = COLOURS[0, :1]
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = loaded(encoded(Image.fromarray(pixels), exif=exif), image_size=10)
    assert (shown == COLOURS[0, 0][:, None, None]).all()


ODD = {
    "no TIFF header": b"Exif\0\0rubbish and more",
    "nothing": b"Exif\0\0",
    "an orientation of 9": b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 274, 3, 1, 9) + bytes(4),
    "cut off": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12",
}


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("odd", ODD)
def test_broken_exif_turns_nothing(kind: str, odd: str) -> None:
    content = encoded(Image.fromarray(HALVES).convert("RGB"), kind, exif=ODD[odd], quality=100)
    assert np.abs(loaded(content).transpose(1, 2, 0) - grey(HALVES)).max() <= 5


def test_a_part_of_exif_that_is_odd_does_not_keep_a_picture_from_being_turned() -> None:
    entries = struct.pack("<HHII", 271, 2, 4, 0x41414141) + struct.pack("<HHII", 274, 3, 1, 3)
    entries += struct.pack("<HHII", 282, 3, 1, 7) + struct.pack("<HHII", 34665, 4, 1, 0x7FFFFFFF)
    exif = b"Exif\0\0II*\0\x08\0\0\0\4\0" + entries + bytes(4)
    content = encoded(Image.fromarray(HALVES).convert("RGB"), "JPEG", exif=exif, quality=100)
    assert np.abs(loaded(content).transpose(1, 2, 0) - grey(HALVES[:, ::-1])).max() <= 5


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (loaded(content) == np.array([255, 0, 0])[:, None, None]).all()


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "floats of 8 bits": (
        lambda: tiff(8, 8, 32, 1, RAMP.astype("<f4").tobytes(), kind=3),
        r"\(mode F\): values are from 0 to 252; black is 0, and white is 1",
    ),
    "no numbers": (
        lambda: tiff(8, 8, 32, 1, (RAMP * np.nan).astype("<f4").tobytes(), kind=3),
        r"\(mode F\): values are from nan to nan; .*",
    ),
    "integers of 32 bits": (
        lambda: tiff(8, 8, 32, 1, (DEEP.astype("<i4") * 256).tobytes(), kind=2),
        r"\(mode I\): values are from 0 to 1\.6777e\+07; black is 0, and white is 65535",
    ),
    "below zero": (
        lambda: tiff(8, 8, 16, 1, (RAMP.astype("<i2") - 5).tobytes(), kind=2),
        r"\(mode I\): values are from -5 to 247; .*",
    ),
    "EPS": (lambda: encoded(Image.fromarray(COLOURS), "EPS"), r"\(mode RGB\): other programs draw EPS.*"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_black_and_white_is_refused_by_name_and_mode(kind: str) -> None:
    content, reason = REFUSED[kind]
    with pytest.raises(StageError, match=rf"^data/fetched/a/0x\.png: cannot be read as an image {reason}$"):
        loaded(content())


def strip(fit: str, height: int, width: int, size: int = 8) -> np.ndarray:
    """A picture whose left, middle and right third, or upper and so on, are 50, 100 and 200."""
    pixels = np.empty((height, width), np.uint8)
    thirds = pixels if height > width else pixels.T
    thirds[:] = np.repeat([50, 100, 200], max(height, width) // 3)[:, None]
    shown = loaded(encoded(Image.fromarray(pixels)), fit=fit, channels=1, image_size=size)
    return shown[0] if height > width else shown[0].T


@pytest.mark.parametrize(("height", "width"), [(30, 10), (10, 30), (24, 8), (300, 100), (100, 300)])
def test_crop_keeps_the_middle(height: int, width: int) -> None:
    assert (strip("crop", height, width) == 100).all()


@pytest.mark.parametrize(("height", "width"), [(30, 10), (10, 30), (300, 100), (100, 300)])
def test_stretch_keeps_all_and_fills_all(height: int, width: int) -> None:
    shown = strip("stretch", height, width, size=30)
    assert (shown[:8] == 50).all()
    assert (shown[12:18] == 100).all()
    assert (shown[22:] == 200).all()


@pytest.mark.parametrize(("height", "width"), [(30, 10), (10, 30), (300, 100), (100, 300)])
def test_pad_keeps_all_and_its_proportions(height: int, width: int) -> None:
    """The median of the border of either strip is 100."""
    shown = strip("pad", height, width, size=30)
    assert (shown[:, :10] == 100).all()
    assert (shown[:, 20:] == 100).all()
    assert (shown[:8, 10:20] == 50).all()
    assert (shown[12:18, 10:20] == 100).all()
    assert (shown[22:, 10:20] == 200).all()


@pytest.mark.parametrize("colours", [((0, 0, 255), (255, 0, 0)), ((255, 255, 255), (0, 0, 0))])
def test_a_drawing_is_padded_with_its_background(colours: tuple[tuple[int, int, int], tuple[int, int, int]]) -> None:
    background, ink = colours
    picture = Image.new("RGB", (24, 8), background)
    ImageDraw.Draw(picture).rectangle((10, 2, 13, 5), ink)
    shown = loaded(encoded(picture), fit="pad", image_size=24).transpose(1, 2, 0)
    expected = Image.new("RGB", (24, 24), background)
    ImageDraw.Draw(expected).rectangle((10, 10, 13, 13), ink)
    assert np.array_equal(shown, np.asarray(expected))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (8, 9), (9, 8)])
def test_pictures_of_any_size_fill_the_square(fit: str, size: tuple[int, int]) -> None:
    shown = loaded(encoded(Image.new("RGB", size, (10, 20, 30))), fit=fit)
    assert (shown == np.array([10, 20, 30])[:, None, None]).all()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_square_is_the_same_however_it_fits(fit: str) -> None:
    assert np.array_equal(loaded(encoded(Image.fromarray(COLOURS)), fit=fit).transpose(1, 2, 0), COLOURS)


def test_what_is_not_scaled_is_not_blurred_by_half_a_pixel() -> None:
    pixels = np.kron(np.tile([0, 255], 8)[:9], np.ones((8, 1))).astype(np.uint8)  # 9 columns, one too many
    assert np.array_equal(loaded(encoded(Image.fromarray(pixels)), channels=1)[0], pixels[:, :8])


def test_grey_is_the_luma_of_the_colours() -> None:
    """ITU-R 601."""
    shown = loaded(encoded(Image.fromarray(COLOURS)), channels=1)[0]
    assert np.abs(shown - COLOURS @ [0.299, 0.587, 0.114]).max() <= 0.5 + 1e-2
