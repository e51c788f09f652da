"""The pictures show what they are given."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.reporting import pictures
from stages.reporting.pictures import draw_samples, draw_scores


def row(name: str, fid: float, inception_score: float) -> dict[str, Any]:
    """A row of the summary."""
    scores = {"fid": (fid, 0.1, 0.2), "inception_score": (inception_score, 0.1, 9.6)}
    endings = ("", "_ci95", "_real")
    return {"variant": name, "rank": 1} | {
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
def test_a_strip_of_real_images_then_one_a_variant_in_the_order_of_the_rows(channels: int) -> None:
    tones = (200, 0, 100)  # of real images, and of the two rows
    real, black, grey = (np.full((30, channels, 28, 28), tone, np.uint8) for tone in tones)
    pixels = to_pixels(draw_samples(ROWS, {"other": grey, "one": black}, real))
    for part, own in zip(np.array_split(pixels, 3), tones, strict=True):
        assert share(part, (own,) * 3) > 0.3
        for other in tones:  # letters are black, and their edges have a few of the others
            assert other == own or share(part, (other,) * 3) < (0.05 if other == 0 else 0.01)


def test_a_strip_says_its_rank_or_why_it_has_none() -> None:
    ranked, other = row("dcgan", 1.5, 8.0) | {"rank": 2}, row("srgan", 0.5, 9.0) | {"rank": None}
    assert pictures._title(ranked) == "rank 2: dcgan, FID 1.50"
    assert pictures._title(other) == "srgan, FID 0.50 (from the test images above: no rank)"


def test_points_lie_where_the_scores_are_and_the_same_scores_give_the_same_bytes() -> None:
    rows = [row("one", 1.0, 8.0), row("other", 2.0, 6.0), row("last", 8.0, 1.0)]
    pixels = to_pixels(draw_scores(rows))
    # the axis of FID is logarithmic: from 2 to 8 it is twice as far as from 1 to 2
    for color, further in {(31, 119, 180): 2, (255, 127, 14): 5 / 2}.items():  # FID, inception score
        y, x = (pixels == color).all(axis=-1).nonzero()
        band = (y - y.min()) * 3 // (y.max() - y.min() + 1)  # the rows of the summary from top to bottom
        first, second, third = (x[band == index].mean() for index in range(3))
        assert (third - second) / (second - first) == pytest.approx(further, rel=0.02)
        assert (second > first) == (color == (31, 119, 180))
    assert draw_scores(rows) == draw_scores(rows)


@pytest.mark.parametrize("column", ["fid_real", "fid_ci95"])
def test_the_real_baseline_and_intervals_are_drawn(column: str) -> None:
    assert draw_scores([ROWS[0] | {column: 0.4}, ROWS[1]]) != draw_scores(ROWS)
