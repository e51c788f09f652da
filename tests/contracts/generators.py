"""Small generators whose images can be predicted."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import torch
from torch import Tensor

from stages.contracts.generator import Generator, ImageShape
from stages.contracts.translator import Translator, TwoWayTranslator


class Plain(Generator):
    """Images whose first pixel is the latent, and whose last one shows the label."""

    latent_size = 3

    def __init__(self, label_meaning: Literal["ignored", "class", "code"] = "ignored") -> None:
        super().__init__()
        self.label_meaning = label_meaning
        self.calls: Counter[int] = Counter()

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        self.calls[len(latent)] += 1
        assert not self.training
        label = (labels / 10)[:, None] if self.label_meaning == "class" else torch.zeros(len(labels), 1)
        return torch.cat([(latent / 9).clamp(-1, 1), label], dim=1).unflatten(1, (1, 2, 2))


def labels(count: int) -> Tensor:
    return torch.arange(count) % 3


class Doubling(Translator):
    """Starts from images at half their size, whose pixels it repeats, half as bright."""

    def source(self, images: Tensor) -> Tensor:
        return images[:, :, ::2, ::2]

    def source_shape(self, image_shape: ImageShape) -> ImageShape:
        channels, height, width = image_shape
        return channels, height // 2, width // 2

    def forward(self, source: Tensor, labels: Tensor) -> Tensor:
        assert not self.training
        return source.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) / 2


class Fading(TwoWayTranslator):
    """Digits are half as bright as outlines, outlines are digits upside down."""

    def forward(self, source: Tensor, labels: Tensor) -> Tensor:
        return self.translate(source, "digits")

    def translate(self, images: Tensor, target: Literal["digits", "outlines"]) -> Tensor:
        assert not self.training
        return images / 2 if target == "digits" else images.flip(2)
