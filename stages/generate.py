"""Draw from a trained model, without DVC: a picture, an animation or an array, or the generator as an ONNX file.

Reads models/VARIANT (config.json, generator.safetensors); a translator also reads data/processed/test.
Writes the files of --out and --onnx, whole or not at all. At least one of the two is required.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.config.errors import ParameterError, errors_as_lines
from stages.serving.arguments import LAST_SEED, MOST_IMAGES, Parser, share, whole_number

SUFFIXES = (".png", ".gif", ".npy")
FRAMES, MILLISECONDS = 24, 60  # of an animation: frames one way, time of each
LARGEST_GIF = 2**16 - 1  # pixels a side
EPILOG = """\
examples:
  python -m stages.generate dcgan --out digits.png
  python -m stages.generate cgan --count 20 --label 3 --seed 1 --out threes.png
  python -m stages.generate stylegan --truncation 0.7 --count 4 --interpolate 8 --out between.gif
  python -m stages.generate dcgan --onnx dcgan.onnx

Image i, counted from 0, comes from the seed SEED + i: a served row with this seed and label gives the same image.
"""


def parser() -> Parser:
    """The arguments, as text: `main` checks them."""
    made = Parser("generate", __doc__ or "", EPILOG)
    made.add_argument("model", metavar="VARIANT", help="a variant in models/, or the folder of a model")
    made.add_argument(
        "--out", metavar="FILE", type=Path, help=f"image file; its suffix is the format: {', '.join(SUFFIXES)}"
    )
    made.add_argument(
        "--onnx", metavar="FILE", type=Path, help="the generator as an ONNX file, for batches of any size"
    )
    made.add_argument("--count", default="16", help=f"images, 1 to {MOST_IMAGES} (default: 16)")
    made.add_argument("--seed", default="0", help="seed of the first image, 0 to 2**32 - 1 (default: 0)")
    made.add_argument("--label", help="name of a class, or number of a code (default: each in turn)")
    made.add_argument("--truncation", default="1", help="0 to 1: lower is cleaner and less diverse (default: 1)")
    made.add_argument(
        "--interpolate",
        metavar="STEPS",
        help="steps from each image to the next seed's, at least 2: the columns of a .png, the frames of a .gif (there "
        f"and back; default for a .gif: {FRAMES}), the second axis of a .npy",
    )
    made.add_argument("--columns", help="columns of the grid (default: a square)")
    return made


def main(arguments: argparse.Namespace) -> None:
    """Check the arguments, draw, and write; raises ParameterError for arguments that are not allowed."""
    steps, columns = check_outputs(arguments)
    count = whole_number("--count", arguments.count, 1, MOST_IMAGES // max(1, steps))
    seed = whole_number("--seed", arguments.seed, 0, LAST_SEED - count + (not steps))  # a path ends at the next seed
    truncation = share("--truncation", arguments.truncation)
    # torch takes seconds to load: mistakes and --help do not wait for it
    from stages.serving.drawing import DrawRequest
    from stages.serving.onnx_export import model_to_onnx
    from stages.serving.trained_model import find_model, load_model
    from stages.storage.files import write_bytes

    model = load_model(find_model(arguments.model))
    label = None if arguments.label is None else model.label_index(arguments.label, "--label")
    contents: list[tuple[Path, bytes, str]] = []
    if arguments.out:
        request = DrawRequest(count, seed, label, truncation)
        content = drawn_to_bytes(model, request, steps, arguments.out.suffix, columns)
        contents.append((arguments.out, content, f"{count} images"))
    if arguments.onnx:
        content, difference = model_to_onnx(model, truncation)
        contents.append((arguments.onnx, content, f"ONNX Runtime differs from torch by {difference:.0e} at most"))
    for path, content, about in contents:
        write_bytes(path, content)
        print(f"{path}: {model.name}: {about}")


def check_outputs(arguments: argparse.Namespace) -> tuple[int, int]:
    """Steps of an interpolation and columns of a grid, 0 if they are not given.

    Raises ParameterError for outputs that cannot be written, and for options that do not fit them.
    """
    out, onnx = arguments.out, arguments.onnx
    if not out and not onnx:
        raise ParameterError("nothing to write: give --out FILE, --onnx FILE, or both")
    if out and out.suffix not in SUFFIXES:
        raise ParameterError(f"--out: {str(out)!r} is not allowed; its name must end with {', '.join(SUFFIXES)}")
    if onnx and onnx.suffix != ".onnx":
        raise ParameterError(f"--onnx: {str(onnx)!r} is not allowed; its name must end with .onnx")
    for option, path in (("--out", out), ("--onnx", onnx)):
        if path and path.is_dir():
            raise ParameterError(f"{option}: {path} is a folder; expected the name of a file")
    of_pictures = {"--interpolate": arguments.interpolate, "--columns": arguments.columns, "--label": arguments.label}
    if unused := [option for option, value in of_pictures.items() if value is not None and not out]:
        raise ParameterError(f"{unused[0]} needs --out")
    if arguments.columns is not None and (out.suffix == ".npy" or (out.suffix == ".png" and arguments.interpolate)):
        raise ParameterError("--columns is for grids; an array and the rows of an interpolation have none")
    default = str(FRAMES) if out and out.suffix == ".gif" else None
    steps = arguments.interpolate or default
    return (
        whole_number("--interpolate", steps, 2, MOST_IMAGES) if steps is not None else 0,
        whole_number("--columns", arguments.columns, 1, MOST_IMAGES) if arguments.columns is not None else 0,
    )


def drawn_to_bytes(model: Any, request: Any, steps: int, suffix: str, columns: int) -> bytes:
    """uint8 images drawn from a model, as the bytes of a .png, .gif or .npy file."""
    from stages.serving.drawing import draw, interpolate
    from stages.storage.images import SCALE, grid_png, grids_to_gif

    square = min(columns, request.count) or math.ceil(math.sqrt(request.count))
    if suffix == ".gif":
        check_size(square, math.ceil(request.count / square), model.image_shape)
    if not steps:
        images = draw(model, request)
    else:
        shares = np.linspace(0, 1, steps)
        images = interpolate(model, request, (1 - np.cos(np.pi * shares)) / 2 if suffix == ".gif" else shares)
    if suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, images, allow_pickle=False)
        return buffer.getvalue()
    if suffix == ".gif":  # there and back
        there = list(images.swapaxes(0, 1))
        return grids_to_gif(there + there[-2:0:-1], square, SCALE, MILLISECONDS)
    return grid_png(images.reshape(-1, *images.shape[-3:]), steps or square)


def check_size(columns: int, rows: int, image_shape: Sequence[int]) -> None:
    """Raise ParameterError where the grids of a .gif are larger than the format allows."""
    from stages.storage.images import SCALE

    sides = zip((rows, columns), image_shape[1:], strict=True)
    height, width = (SCALE * (count * (size + 1) + 1) for count, size in sides)
    if max(height, width) > LARGEST_GIF:
        raise ParameterError(
            f"--count, --columns: {rows} rows of {columns} images are {width} × {height} pixels; a .gif has at most "
            f"{LARGEST_GIF} a side"
        )


if __name__ == "__main__":
    with errors_as_lines():
        main(parser().parse_args())
