"""The contract of translators: generators that start from images, not from latents."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from stages.contracts.generator import COLUMNS, SHOWN, Generator, Picture, to_pixels
from stages.storage.images import Split
from stages.storage.pixels import to_float, to_outlines

ARRAYS = ("images", "outlines", "cycled_images", "cycled_outlines")
BATCH = 500


class Translator(Generator):
    """Digits to outlines and back; its latents are outlines (batch, channels, height, width) in [-1, 1]."""

    label_meaning = "class"  # a translated digit should stay what it is
    starts_from: ClassVar[Literal["latents", "test_images"]] = "test_images"

    @abstractmethod
    def translate(self, images: Tensor, target: Literal["digits", "outlines"]) -> Tensor:
        """Images (batch, channels, height, width) in [-1, 1] of the other domain to those of `target`."""

    @override
    @torch.inference_mode()
    def draw(self, labels: Tensor, test: Split, *, first: int, seed: int, truncation: float) -> dict[str, np.ndarray]:
        """Test images with the numbers from `first` on, as far as there are, translated both ways and back again."""
        self.eval()
        given = torch.from_numpy(test.images[first : first + len(labels)])
        parts: dict[str, list[np.ndarray]] = {name: [given[:0].numpy()] for name in ARRAYS}
        for batch in given.split(BATCH):
            digits = to_float(batch.to(labels.device))
            outlines = to_outlines(digits)
            images, made_outlines = self.translate(outlines, "digits"), self.translate(digits, "outlines")
            back = (self.translate(made_outlines, "digits"), self.translate(images, "outlines"))
            for name, value in zip(ARRAYS, (images, made_outlines, *back), strict=True):
                parts[name].append(to_pixels(value))
        arrays = {name: np.concatenate(part) for name, part in parts.items()}
        return arrays | {"labels": test.labels[first : first + len(labels)]}

    @override
    def draw_pictures(
        self, arrays: Mapping[str, np.ndarray], labels: Tensor, test: Split, *, seed: int, truncation: float
    ) -> dict[str, Picture]:
        """What is given, translated, and back; first digits, then outlines."""
        given, (images, *others) = test.images[:COLUMNS], (arrays[name][:COLUMNS] for name in ARRAYS)
        outlines, cycled_images, cycled_outlines = others
        rows = [given, outlines, cycled_images]
        rows += [to_pixels(to_outlines(to_float(torch.from_numpy(given)))), images, cycled_outlines]
        return {
            "samples": Picture(arrays["images"][:SHOWN], COLUMNS),
            "translations": Picture(np.concatenate(rows), COLUMNS),
        }

    @override
    def pictures(self, labels: Tensor, *, seed: int, truncation: float) -> dict[str, Picture]:
        """None: it starts from images, and has no latents to lead from one to another."""
        return {}
