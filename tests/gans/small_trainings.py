"""Drawn images to train translators on, and what such a training gives in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stages.storage.images import Split
from stages.training.batches import Batches
from stages.training.trainer import Trainer
from tests.builders import build_gan, hyperparameters


def strokes(count: int, seed: int) -> np.ndarray:
    """Three straight strokes on each of the uint8 images (count, 1, 28, 28), as wide as those of digits."""
    ends = np.random.default_rng(seed).uniform(4, 24, (count, 3, 2, 1, 1, 2))
    start, along = ends[:, :, 0], ends[:, :, 1] - ends[:, :, 0]
    from_start = np.moveaxis(np.mgrid[:28, :28], 0, -1) - start
    nearest = ((from_start * along).sum(axis=-1) / (along**2).sum(axis=-1)).clip(0, 1)[..., None] * along
    distances = np.sqrt(((from_start - nearest) ** 2).sum(axis=-1)).min(axis=1)
    return (255 * (2 - distances).clip(0, 1)).astype(np.uint8)[:, None]


def speckles(count: int, seed: int) -> np.ndarray:
    """On each of the uint8 images (count, 1, 16, 16) a square of 9 × 9 pixels, a third of which are bright."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, 1, 16, 16), np.uint8)
    for image in images:
        top, left = random.integers(2, 5, 2)
        image[0, top : top + 9, left : left + 9] = 255 * (random.random((9, 9)) < 0.35)
    return images


def train_and_draw(
    name: str, images: np.ndarray, test: np.ndarray, *, seen: int, **options: Any
) -> dict[str, np.ndarray]:
    """What the averaged generator of a variant draws of test images, after `seen` of the images."""
    gan = build_gan(name, images.shape[1:], 2, **options)
    batches = Batches(torch.from_numpy(images), torch.zeros(len(images), dtype=torch.int64), 16)
    trainer = Trainer(gan, batches, hyperparameters(name, ema_halflife_images=1000))
    list(trainer.train(seen))
    split = Split(test, np.zeros(len(test), np.int64), ("a", "b"))
    labels = torch.zeros(len(test), dtype=torch.int64)
    return trainer.ema.module.draw(labels, split, first=0, seed=0, truncation=1.0)
