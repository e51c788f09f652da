"""The contract of translators: generators that start from images, not from latents ("image-to-image")."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from stages.contracts.generator import COLUMNS, SHOWN, Generator, ImageShape, Picture, to_pixels, together
from stages.storage.images import Split
from stages.storage.pixels import to_float, to_outlines

CYCLE = ("outlines", "cycled_images", "cycled_outlines")  # what a two-way translator draws besides images


class Translator(Generator):
    """Sources (batch, …) in [-1, 1] to images: `source` says what the source of an image is.

    It is sampled from the sources of test images, so each sample has an original that it can be compared with.
    """

    label_meaning = "class"  # a translated digit should stay what it is
    starts_from: ClassVar[Literal["latents", "test_images"]] = "test_images"
    offers: ClassVar[tuple[str, ...]] = ("pairs",)

    @abstractmethod
    def source(self, images: Tensor) -> Tensor:
        """What the generator starts from to make these images (batch, channels, height, width), both in [-1, 1]."""

    @override
    def source_shape(self, image_shape: ImageShape) -> ImageShape:
        """Shape of the source of an image of that shape."""
        return image_shape

    def translate_all(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What `draw` draws of test images, by name: all (batch, channels, height, width) in [-1, 1]."""
        return {"images": self(self.source(images), labels)}

    @override
    @torch.inference_mode()
    def draw(self, labels: Tensor, test: Split, *, first: int, seed: int, truncation: float) -> dict[str, np.ndarray]:
        """Translations of the test images with the numbers from `first` on, as far as there are, and their labels."""
        self.eval()
        given = torch.from_numpy(test.images[first : first + len(labels)])
        size = together(given)
        parts = [
            {name: to_pixels(made) for name, made in self.translate_all(to_float(images.to(some.device)), some).items()}
            for images, some in zip(given.split(size), labels[: len(given)].split(size), strict=True)
        ]
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return arrays | {"labels": test.labels[first : first + len(labels)]}

    @override
    def draw_pictures(
        self, arrays: Mapping[str, np.ndarray], labels: Tensor, test: Split, *, seed: int, truncation: float
    ) -> dict[str, Picture]:
        """Rows of sources, of what was made of them, and of the originals."""
        given = test.images[:COLUMNS]
        made = [array[:COLUMNS] for name, array in arrays.items() if name != "labels"]
        return {
            "samples": Picture(arrays["images"][:SHOWN], COLUMNS),
            "translations": Picture(np.concatenate([self._show_source(given), *made, given]), COLUMNS),
        }

    @override
    def pictures(self, labels: Tensor, *, seed: int, truncation: float) -> dict[str, Picture]:
        """None: it starts from images, and has no latents to lead from one to another."""
        return {}

    def _show_source(self, images: np.ndarray) -> np.ndarray:
        """Sources of uint8 images, as uint8 images of the same size: each pixel of a smaller one is repeated."""
        source = to_pixels(self.source(to_float(torch.from_numpy(images))))
        rows, columns = (whole // part for whole, part in zip(images.shape[2:], source.shape[2:], strict=True))
        return source.repeat(rows, axis=2).repeat(columns, axis=3)


class TwoWayTranslator(Translator):
    """Outlines to digits, and digits to outlines; its sources are outlines."""

    offers: ClassVar[tuple[str, ...]] = ("pairs", "cycles")

    @abstractmethod
    def translate(self, images: Tensor, target: Literal["digits", "outlines"]) -> Tensor:
        """Images (batch, channels, height, width) in [-1, 1] of the other domain to those of `target`."""

    @override
    def source(self, images: Tensor) -> Tensor:
        """Outlines."""
        return to_outlines(images)

    @override
    def translate_all(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Digits translated both ways and back again."""
        made, outlines = self.translate(self.source(images), "digits"), self.translate(images, "outlines")
        back = (self.translate(outlines, "digits"), self.translate(made, "outlines"))
        return {"images": made} | dict(zip(CYCLE, (outlines, *back), strict=True))

    @override
    def draw_pictures(
        self, arrays: Mapping[str, np.ndarray], labels: Tensor, test: Split, *, seed: int, truncation: float
    ) -> dict[str, Picture]:
        """What is given, translated, and back; first digits, then outlines."""
        given = test.images[:COLUMNS]
        images, outlines, cycled_images, cycled_outlines = (arrays[name][:COLUMNS] for name in ("images", *CYCLE))
        rows = [given, outlines, cycled_images, self._show_source(given), images, cycled_outlines]
        return {
            "samples": Picture(arrays["images"][:SHOWN], COLUMNS),
            "translations": Picture(np.concatenate(rows), COLUMNS),
        }
