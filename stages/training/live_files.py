"""A training's loss curve and grids of samples on disk, brought up to date while it runs: editors and DVC draw them."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages.storage.files import write_bytes, write_csv
from stages.storage.images import grid_png, grids_to_gif

COLUMNS = 8  # of a grid
SECONDS_BETWEEN_WRITES = 1.0  # of the loss curve, which is written whole
FRAME_MILLISECONDS, LAST_FRAME_MILLISECONDS = 400, 2000  # of the animation
Row = dict[str, float]


class LiveFiles:
    """An observer of one seed's training. `earlier` are rows of the loss curve of the seeds before.

    Until `close` a full disk is passed over: it may have room again by the end.
    """

    def __init__(self, losses: Path, grids: Path, seed: int, earlier: Sequence[Row]) -> None:
        self.losses, self.grids, self.seed = losses, grids, seed
        self.rows = list(earlier)
        self.frames: dict[int, np.ndarray] = {}  # samples by images seen
        self._last_write = time.monotonic()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """A row of the loss curve."""
        self.rows.append({"seed": self.seed, "images": step, **values})
        if time.monotonic() - self._last_write > SECONDS_BETWEEN_WRITES:
            with contextlib.suppress(OSError):
                self._write_losses()

    def images(self, name: str, step: int, images: np.ndarray) -> None:
        """uint8 samples (count, channels, height, width): <images seen>.png, which editors show with a slider."""
        self.frames[step] = images
        with contextlib.suppress(OSError):
            self._write_grid(step)

    def close(self) -> None:
        """Write all of them. Raises OSError."""
        self._write_losses()
        self.grids.mkdir(parents=True, exist_ok=True)  # a training that diverged early has none
        for step in self.frames:
            self._write_grid(step)

    def _write_grid(self, step: int) -> None:
        write_bytes(self.grids / f"{step}.png", grid_png(self.frames[step], COLUMNS, scale=1))

    def _write_losses(self) -> None:
        scalars = {key for row in self.rows for key in row} - {"seed", "images"}
        write_csv(self.losses, ["seed", "images", *sorted(scalars)], self.rows)
        self._last_write = time.monotonic()


def samples_to_gif(samples: np.ndarray) -> bytes:
    """An animation that repeats: a grid for each of uint8 samples (moments, count, channels, height, width)."""
    pauses = [FRAME_MILLISECONDS] * (len(samples) - 1) + [LAST_FRAME_MILLISECONDS]
    return grids_to_gif(samples, COLUMNS, 1, pauses)
