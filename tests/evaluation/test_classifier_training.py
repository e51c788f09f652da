"""Training classifiers: images are moved as asked, and the committed one is good enough to score with."""

from __future__ import annotations

import json

import torch

from stages.evaluation.classifier_training import shift
from tests.conftest import ROOT


def test_shift_moves_each_image_by_its_own_whole_pixels() -> None:
    torch.manual_seed(0)
    images = torch.full((200, 2, 9, 9), -1.0)
    images[:, 0, 4, 4] = 1.0
    images[:, 1, 4, 5] = 0.5
    moved = shift(images, 2)
    assert moved.shape == images.shape
    places = (moved[:, 0] == 1.0).nonzero()[:, 1:]
    assert len(places) == 200  # one bright pixel in each image still
    assert {tuple(place) for place in places.tolist()} == {(y, x) for y in range(2, 7) for x in range(2, 7)}
    other = (moved[:, 1] == 0.5).nonzero()[:, 1:]
    assert torch.equal(other, places + torch.tensor([0, 1]))  # channels move together
    assert (moved == -1).sum() == images.numel() - 400  # the ground fills in


def test_no_shift_leaves_images_alone() -> None:
    images = torch.randn(2, 1, 5, 5)
    assert torch.equal(shift(images, 0), images)


def test_the_committed_classifier_reads_test_digits() -> None:
    assert json.loads((ROOT / "metrics/classifier.json").read_text())["test_accuracy"] >= 0.992
