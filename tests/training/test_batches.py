"""Batches: an epoch shows every image once, in a new order each time, labels with their images."""

from __future__ import annotations

import torch

from stages.training.batches import Batches


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
