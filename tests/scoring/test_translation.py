"""Scores of a translator: how far images are from their pairs, both ways and after the whole cycle."""

from __future__ import annotations

import numpy as np
import pytest

from stages.scoring.frechet import features_to_fid
from stages.scoring.image_set import ImageSet
from stages.scoring.paired_l1 import images_to_l1
from stages.scoring.score import compute_scores, find_scores
from stages.scoring.ssim import images_to_ssim
from tests.scoring.contexts import build_context

LEVELS = {
    "pixels": 110,
    "digits": 10,
    "outlines": 1,
    "made_outlines": 81,
    "cycled_digits": 70,
    "cycled_outlines": 42,
}


def test_l1_is_measured_in_floats_from_minus_one_to_one() -> None:
    black, white = np.zeros((2, 1, 4, 4), np.uint8), np.full((2, 1, 4, 4), 255, np.uint8)
    half = white.copy()
    half[0] = 0
    assert images_to_l1(black, white) == images_to_l1(white, black) == 2.0
    assert images_to_l1(half, white) == 1.0
    assert images_to_l1(white, white) == 0.0
    with pytest.raises(ValueError, match="one shape"):
        images_to_l1(black, white[:1])


def test_each_image_is_compared_with_its_own_pair() -> None:
    """Brightness tells the arrays apart: all six differ, so that no two distances are the same."""
    random = np.random.default_rng(0)
    made, test, train = (random.normal(mean, 1, (40, 3)) for mean in (0.0, 1.0, 3.0))
    grey = {name: np.full((5, 1, 4, 4), level, np.uint8) for name, level in LEVELS.items()}
    features = {"made_outline_features": made, "outline_features": test, "train_outline_features": train}
    labels, seen = np.array([0, 1, 2, 0, 1]), np.array([0, 1, 2, 2, 2])
    pixels, digits = grey.pop("pixels"), grey.pop("digits")
    pairs = {"digits": digits, "digit_classes": seen}
    images = ImageSet(pixels=pixels, labels=labels, pairs=pairs, cycles=grey | features)
    scores = compute_scores(images, build_context(test), find_scores().values())
    expected = {"paired_l1": 100, "outline_paired_l1": 80, "cycle_l1": 60, "outline_cycle_l1": 41}
    assert {name: scores[name]["value"] for name in expected} == pytest.approx(
        {name: level / 127.5 for name, level in expected.items()}
    )
    assert scores["outline_fid"] == {"value": features_to_fid(made, test), "real": features_to_fid(train, test)}
    assert scores["label_accuracy_before"] == {"value": 0.6}
    assert scores["psnr"]["value"] == pytest.approx(20 * np.log10(255 / 100))
    assert scores.keys() == {*expected, "outline_fid", "label_accuracy_before", "psnr"}  # ssim takes larger images


def test_bicubic_enlargements_are_scored_in_the_samples_place() -> None:
    """Samples are the originals; enlargements are darker, and their features lie elsewhere."""
    random = np.random.default_rng(0)
    digits = random.integers(40, 256, (5, 1, 12, 12), np.uint8)
    test, seen = random.normal(0, 1, (40, 3)), random.normal(1, 2, (40, 3))
    enlarged = ImageSet(pixels=digits - 20, features=seen)
    images = ImageSet(pixels=digits, pairs={"digits": digits, "digit_classes": np.zeros(5)}, bicubic=enlarged)
    scores = compute_scores(images, build_context(test), find_scores().values())
    assert scores["bicubic_fid"] == {"value": features_to_fid(seen, test)}
    assert scores["bicubic_psnr"]["value"] == pytest.approx(20 * np.log10(255 / 20))
    assert scores["bicubic_ssim"]["value"] == pytest.approx(images_to_ssim(digits - 20, digits).mean())
    assert scores["ssim"] == {"value": pytest.approx(1), "ci95": pytest.approx(0, abs=1e-12)}
    assert scores.keys() == {"paired_l1", "psnr", "ssim", "bicubic_psnr", "bicubic_ssim", "bicubic_fid"}
