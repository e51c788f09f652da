"""Batches: an epoch shows every image once, in a new order each time, labels with their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.storage.files import read_array, write_array
from stages.training.batches import Batches, place


def batches(count: int, batch_size: int) -> Batches:
    torch.manual_seed(0)
    images = torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    return Batches(images, torch.arange(count), batch_size)


def test_an_epoch_shows_every_image_once_with_its_label() -> None:
    source = batches(12, 4)
    epochs = []
    for _ in range(2):
        shown = []
        for _ in range(3):
            images, labels = source.next()
            assert torch.equal(((images + 1) * 127.5).round().long().flatten(), labels)
            shown += labels.tolist()
        epochs.append(shown)
        assert sorted(shown) == list(range(12))
    assert epochs[0] != epochs[1]


def test_a_remainder_is_left_out_of_its_epoch() -> None:
    source = batches(10, 4)
    shown = torch.cat([source.next()[1] for _ in range(2)])
    assert len(shown.unique()) == 8
    assert len(source.next()[0]) == 4


def test_a_batch_is_never_larger_than_the_data() -> None:
    assert len(batches(3, 64).next()[0]) == 3


def test_images_that_are_read_where_they_are_used_give_the_same_batches(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), np.uint8)
    write_array(tmp_path / "images.npy", images)
    drawn = []
    for array in (images, read_array(tmp_path / "images.npy", mapped=True)):
        torch.manual_seed(0)
        source = Batches(torch.from_numpy(array), torch.arange(50), 8)
        drawn.append([source.next() for _ in range(20)])
    for (one, labels), (other, other_labels) in zip(*drawn, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(labels, other_labels)


def test_images_that_would_fill_a_gpu_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.zeros(100, 1, 4, 4, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3100, 10**6))
    assert place(images, torch.device("cuda")) is images
    assert place(images, torch.device("meta")).device.type == "meta"
