"""Rows that are drawn in batches: each row has its own seed, and gives the same image in every batch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from stages.config.errors import first_ten

MOST_ROWS = 10_000  # of one request
LAST_SEED = 2**63 - 1
BATCH = 32


class SeededRows(TorchFunctionMode):
    """Within it `torch.rand(rows, …)` and `torch.randn(rows, …)` draw row i as after `torch.manual_seed(seeds[i])`.

    Each call continues where the last one ended. Other random functions are not changed. Numbers are drawn on the
    CPU, so a seed gives the same ones on every device.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func not in (torch.rand, torch.randn):
            return func(*args, **options)
        rows, *shape = args
        if rows != len(self.generators):
            raise ValueError(f"random numbers for {rows} rows were asked for; there are {len(self.generators)} seeds")
        device = options.pop("device", None)
        return torch.cat([func(1, *shape, generator=one, **options) for one in self.generators]).to(device)


def in_batches(draw: Callable[[list[int]], Tensor], rows: int) -> Tensor:
    """`draw` of the numbers 0 to rows - 1, in batches that all have the same size.

    The last batch repeats its last row. Matrix products of another size round differently: an image would depend on
    how many others were asked for.
    """
    starts = range(0, rows, BATCH)
    batches = [[min(row, rows - 1) for row in range(start, start + BATCH)] for start in starts]
    return torch.cat([draw(batch) for batch in batches])[:rows]


def read_rows(table: Any, names: Sequence[str]) -> tuple[list[int], Tensor]:
    """The columns `seed` and `label` of a table, a mapping or a DataFrame: seeds, and labels (rows,) as indices.

    Labels are among `names`; without the column they are 0. Raises ValueError with what is allowed, in one line.
    """
    columns = list(table.keys()) if hasattr(table, "keys") else []
    if "seed" not in columns:
        raise ValueError(f"expected rows with a seed{' and a label' if names else ''}; there is no column seed")
    seeds = column(table, "seed")
    check_count(len(seeds))
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= LAST_SEED:
            raise ValueError(f"seed: {seed!r:.40} is not allowed; expected a whole number from 0 to {LAST_SEED}")
    if "label" not in columns:
        return seeds, torch.zeros(len(seeds), dtype=torch.int64)
    if not names:
        raise ValueError("label: this generator draws without labels; expected the column seed alone")
    labels = [str(label) for label in column(table, "label")]
    if len(labels) != len(seeds):
        raise ValueError(f"there are {len(seeds)} seeds and {len(labels)} labels; expected one label a seed")
    index = {name: number for number, name in enumerate(names)}
    if unknown := sorted(set(labels) - set(index)):
        raise ValueError(f"unknown label {unknown[0]!r:.40}; expected one of: {', '.join(first_ten(names))}")
    return seeds, torch.tensor([index[label] for label in labels])


def read_images(inputs: Any) -> np.ndarray:
    """uint8 images (count, channels, height, width) of an array or nested lists.

    Raises ValueError with what is allowed, in one line.
    """
    expected = "expected images (count, channels, height, width) of whole numbers from 0 to 255"
    try:
        images = np.asarray(inputs)
    except ValueError:
        raise ValueError(f"{expected}; these are not all of one shape") from None
    if images.ndim != 4 or images.dtype.kind not in "iu":
        raise ValueError(f"{expected}; got {images.dtype} of shape {images.shape}")
    check_count(len(images))
    if not images.size or images.min() < 0 or images.max() > 255:
        raise ValueError(f"{expected}; others are there, or none")
    return images.astype(np.uint8)


def check_count(rows: int) -> None:
    """Raise ValueError where a request has no rows, or too many."""
    if not 1 <= rows <= MOST_ROWS:
        raise ValueError(f"{rows} rows are not allowed; expected 1 to {MOST_ROWS}")


def column(table: Any, name: str) -> list[Any]:
    """The values of a column, integers as int, however many axes it has."""
    return list(np.ravel(np.asarray(table[name], dtype=object)))
