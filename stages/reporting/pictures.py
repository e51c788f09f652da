"""The report's PNG files, for git and `dvc plots show`: samples of each variant, and scores next to the baseline's."""

import io
import os
from collections.abc import Mapping, Sequence

os.environ["MPLBACKEND"] = "agg"  # a notebook's own does not exist here

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from stages.reporting.summary import Row

SAMPLES_PER_ROW = 20
matplotlib.rcdefaults()  # the same pictures whatever the user's matplotlibrc says


def draw_samples(rows: Sequence[Row], images: Mapping[str, np.ndarray], real_images: np.ndarray) -> bytes:
    """PNG: a strip of real images, then one per row of the summary, from uint8 images by the variant's name.

    Images are (count, 1 or 3, height, width).
    """
    strips = [("real test images", real_images)] + [(_title(row), images[row["variant"]]) for row in rows]
    figure = Figure(figsize=(10, 0.72 * len(strips)), layout="constrained")
    for axis, (title, shown) in zip(figure.subplots(len(strips), squeeze=False)[:, 0], strips, strict=True):
        strip = np.concatenate(list(shown[:SAMPLES_PER_ROW]), axis=2).transpose(1, 2, 0)
        axis.imshow(strip.squeeze(), cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=8, loc="left", pad=2)
        axis.axis("off")
    return _png(figure)


def _title(row: Row) -> str:
    title = f"{row['variant']}, FID {row['fid']:.2f}"
    return f"rank {row['rank']}: {title}" if row["rank"] else f"{title} (from the test images above: no rank)"


def draw_scores(rows: Sequence[Row]) -> bytes:
    """PNG: FID on a logarithmic axis, and inception score: a point with ci95 per row of the summary."""
    figure = Figure(figsize=(9, 1.2 + 0.24 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_points(left, rows, "fid", "tab:blue")
    left.set(xscale="log", xlabel="FID (lower is better)")
    left.set_title("dashed: real training images", fontsize=9)
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_locator(NullLocator())
    left.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top
    _draw_points(right, rows, "inception_score", "tab:orange")
    right.set(xlabel="inception score (higher is better)")
    right.set_title("dashed: real test images", fontsize=9)
    return _png(figure)


def _draw_points(axis: Axes, rows: Sequence[Row], score: str, color: str) -> None:
    names, values, errors = ([row[column] for row in rows] for column in ("variant", score, f"{score}_ci95"))
    # no bars: on a logarithmic axis their length says nothing
    axis.errorbar(values, names, xerr=errors, fmt="o", color=color, markersize=5, capsize=3)
    axis.grid(color="0.9")
    axis.axvline(rows[0][f"{score}_real"], color="black", linestyle="--")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
