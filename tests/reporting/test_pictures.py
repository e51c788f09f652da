"""The pictures show what they are given."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.reporting.pictures import draw_samples, draw_scores


def row(name: str, fid: float, inception_score: float) -> dict[str, Any]:
    """A row of the summary."""
    scores = {"fid": (fid, 0.1, 0.2), "inception_score": (inception_score, 0.1, 9.6)}
    endings = ("", "_ci95", "_real")
    return {"variant": name} | {
        f"{score}{ending}": number
        for score, numbers in scores.items()
        for ending, number in zip(endings, numbers, strict=True)
    }


ROWS = [row("one", 1.0, 8.0), row("other", 8.0, 1.0)]


def to_pixels(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))


def share(pixels: np.ndarray, color: tuple[int, int, int]) -> float:
    return float(np.mean((pixels == color).all(axis=-1)))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_strip_a_variant_in_the_order_of_the_rows(channels: int) -> None:
    black, grey = (np.full((30, channels, 28, 28), value, np.uint8) for value in (0, 100))
    pixels = to_pixels(draw_samples(ROWS, {"other": grey, "one": black}))
    upper, lower = np.array_split(pixels, 2)
    assert share(upper, (0, 0, 0)) > 0.3
    assert share(upper, (100, 100, 100)) < 0.01  # letters' edges have a few
    assert share(lower, (100, 100, 100)) > 0.3
    assert share(lower, (0, 0, 0)) < 0.05  # letters


def test_bars_are_as_long_as_the_scores_and_the_same_scores_give_the_same_bytes() -> None:
    pixels = to_pixels(draw_scores(ROWS))
    for color, is_longer in {(31, 119, 180): False, (255, 127, 14): True}.items():  # FID, inception score
        lengths = (pixels == color).all(axis=-1).sum(axis=1)
        upper, *_, lower = lengths[lengths > 0]
        assert upper > 4 * lower if is_longer else lower > 1.5 * upper  # the axis of FID is logarithmic
    assert draw_scores(ROWS) == draw_scores(ROWS)
