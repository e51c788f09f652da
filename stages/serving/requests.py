"""What a served model is asked for: rows of seeds and labels, or the images that a translator starts from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.config.errors import first_ten
from stages.contracts.generator import Generator
from stages.contracts.rows import in_batches
from stages.contracts.translator import Translator
from stages.serving.arguments import LAST_SEED, MOST_IMAGES
from stages.storage.files import one_line
from stages.storage.pixels import to_float


def serve(generator: Generator, inputs: Any, classes: Sequence[str], most: int = MOST_IMAGES) -> Tensor:
    """Images (rows, channels, height, width) in [-1, 1] of a table's columns `seed` and `label`.

    Seeds are whole numbers from 0 to 2³² - 1, labels are among the generator's names. A translator takes uint8 sources
    (rows, channels, height, width). Raises ValueError, in one line, for other inputs, and for no rows or more than
    `most`.
    """
    if isinstance(generator, Translator):
        return translate(generator, torch.from_numpy(read_images(inputs, most)))
    seeds, labels = read_seeds_and_labels(inputs, generator.label_names(classes), most)
    return generator.sample_rows(seeds, labels)


@torch.inference_mode()
def translate(generator: Translator, images: Tensor) -> Tensor:
    """What a translator makes of uint8 sources (rows, channels, height, width).

    Raises ValueError, in one line, where they do not fit it.
    """
    labels = torch.zeros(len(images), dtype=torch.int64)
    try:
        return in_batches(lambda rows: generator(to_float(images[rows]), labels[rows]), len(images))
    except RuntimeError as error:  # a size or a number of channels that its layers do not take
        raise ValueError(f"images of shape {tuple(images.shape)} do not fit: {one_line(error)}") from None


def read_seeds_and_labels(table: Any, names: Sequence[str], most: int = MOST_IMAGES) -> tuple[list[int], Tensor]:
    """The columns `seed` and `label` of a table, a mapping or a DataFrame: seeds, and labels (rows,) as indices.

    Labels are among `names`; without the column they are 0. Raises ValueError with what is allowed, in one line.
    """
    columns = list(table.keys()) if hasattr(table, "keys") else []
    if "seed" not in columns:
        raise ValueError(f"expected rows with a seed{' and a label' if names else ''}; there is no column seed")
    seeds = column(table, "seed")
    check_count(len(seeds), most)
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= LAST_SEED:
            raise ValueError(f"seed: {seed!r:.40} is not allowed; expected a whole number from 0 to {LAST_SEED}")
    if "label" not in columns:
        return seeds, torch.zeros(len(seeds), dtype=torch.int64)
    if not names:
        raise ValueError("label: this generator draws without labels; expected the column seed alone")
    labels = [str(label) for label in column(table, "label")]
    if len(labels) != len(seeds):
        raise ValueError(f"there are {len(seeds)} seeds and {len(labels)} labels; expected one label per seed")
    index = {name: number for number, name in enumerate(names)}
    if unknown := sorted(set(labels) - set(index)):
        raise ValueError(f"unknown label {unknown[0]!r:.40}; expected one of: {', '.join(first_ten(names))}")
    return seeds, torch.tensor([index[label] for label in labels])


def read_images(inputs: Any, most: int = MOST_IMAGES) -> np.ndarray:
    """At most so many uint8 images (count, channels, height, width) of an array or nested lists.

    Raises ValueError with what is allowed, in one line.
    """
    expected = "expected images (count, channels, height, width) of whole numbers from 0 to 255"
    try:
        images = np.asarray(inputs)
    except ValueError:
        raise ValueError(f"{expected}; these are not all of one shape") from None
    if images.ndim != 4 or images.dtype.kind not in "iu":
        raise ValueError(f"{expected}; got {images.dtype} of shape {images.shape}")
    check_count(len(images), most)
    if not images.size or images.min() < 0 or images.max() > 255:
        raise ValueError(f"{expected}; got values outside 0 to 255, or no pixels")
    return images.astype(np.uint8)


def check_count(rows: int, most: int) -> None:
    """Raise ValueError if a request has no rows, or too many."""
    if not 1 <= rows <= most:
        because = "" if most == MOST_IMAGES else " for images of this size"
        raise ValueError(f"{rows} rows are not allowed; expected 1 to {most}{because}")


def column(table: Any, name: str) -> list[Any]:
    """The values of a column, integers as int, however many axes it has."""
    return list(np.ravel(np.asarray(table[name], dtype=object)))
