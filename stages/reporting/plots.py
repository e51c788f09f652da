"""The report's pictures: a strip of samples a variant, and bars of scores next to the real baseline."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.reporting.summary import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAMPLES_A_ROW = 20


def draw_samples(results: Sequence[Result], images: Mapping[str, np.ndarray]) -> bytes:
    """PNG: a row of samples a variant, from uint8 images (count, 1 or 3, height, width) by name."""
    figure = _figure(10, 0.72 * len(results))
    axes = figure.subplots(len(results), squeeze=False)[:, 0]
    for axis, result in zip(axes, results, strict=True):
        strip = np.concatenate(list(images[result.name][:SAMPLES_A_ROW]), axis=2).transpose(1, 2, 0)
        axis.imshow(strip.squeeze(), cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{result.name}: FID {result.fid:.2f}", fontsize=8, loc="left", pad=2)
        axis.axis("off")
    return _png(figure)


def draw_scores(results: Sequence[Result]) -> bytes:
    """PNG: bars of FID on a logarithmic axis, and of inception score, with ci95 and the real baseline."""
    from matplotlib.ticker import LogLocator, NullLocator

    figure = _figure(9, 1.4 + 0.35 * len(results))
    left, right = figure.subplots(1, 2, sharey=True)
    _bars(left, results, "fid", "tab:blue")
    left.set(xscale="log", xlabel="FID (lower is better)")
    left.set_title("dashed: real training images", fontsize=9)
    left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_locator(NullLocator())
    _bars(right, results, "inception_score", "tab:orange")
    right.set(xlabel="inception score (higher is better)")
    right.set_title("dashed: real test images", fontsize=9)
    left.invert_yaxis()
    return _png(figure)


def _bars(axis: Axes, results: Sequence[Result], score: str, color: str) -> None:
    records = [result.scores[score] for result in results]
    values, errors = ([record.get(key, 0.0) for record in records] for key in ("value", "ci95"))
    axis.barh([result.name for result in results], values, xerr=errors, color=color)
    axis.axvline(records[0]["real"], color="black", linestyle="--")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # half a second that a refused params.yaml need not wait for

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
