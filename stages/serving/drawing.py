"""Images of a trained model: by seed and label, and between the latents of two seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stages.config.errors import ParameterError, StageError
from stages.contracts.generator import TOGETHER, to_pixels
from stages.contracts.rows import SeededRows
from stages.contracts.translator import Translator
from stages.serving.requests import translate
from stages.serving.trained_model import TrainedModel
from stages.storage.images import read_split
from stages.storage.paths import PROCESSED
from stages.storage.pixels import to_float, to_uint8


@dataclass(frozen=True)
class DrawRequest:
    """What to draw: image i comes from the seed `seed` + i, like a served row with that seed and label.

    The last seed (for an interpolation, the one after it) is at most LAST_SEED. Without a label, image i has the label
    i modulo the number of labels. A truncation in [0, 1] moves latents towards their mean.
    """

    count: int
    seed: int = 0
    label: int | None = None
    truncation: float = 1.0


def draw(model: TrainedModel, request: DrawRequest) -> np.ndarray:
    """uint8 images (count, channels, height, width); a translator's are made from the sources of test images."""
    if isinstance(model.generator, Translator):
        return translate_test_images(model, model.generator, request)
    seeds = range(request.seed, request.seed + request.count)
    return rows_to_pixels(model, seeds, labels_of(model, request), request.truncation)


def interpolate(model: TrainedModel, request: DrawRequest, shares: np.ndarray) -> np.ndarray:
    """uint8 images (count, steps, channels, height, width): from seed `seed` + i to the next, for shares (steps,).

    A share of 0 is the image of the first seed, one of 1 has the latent of the second. The label and the noise of a
    row do not change.
    """
    if isinstance(model.generator, Translator):
        raise ParameterError(f"{model.name} translates images: it has no latents to interpolate")
    generator, labels, steps = model.generator, labels_of(model, request), len(shares)
    seeds = range(request.seed, request.seed + request.count)
    start, end = (latents_of(model, [seed + step for seed in seeds], labels) for step in (0, 1))
    share = torch.from_numpy(shares).float().repeat(request.count).unsqueeze(1)
    latents = generator.mix_latents(start.repeat_interleave(steps, 0), end.repeat_interleave(steps, 0), share)
    rows, labels = [seed for seed in seeds for _ in range(steps)], labels.repeat_interleave(steps)
    images = rows_to_pixels(model, rows, labels, request.truncation, latents)
    return images.reshape(request.count, steps, *model.image_shape)


def rows_to_pixels(
    model: TrainedModel, seeds: Sequence[int], labels: Tensor, truncation: float, latents: Tensor | None = None
) -> np.ndarray:
    """uint8 images (rows, channels, height, width) of these rows, few of which are floats at a time."""
    pixels = np.empty((len(seeds), *model.image_shape), np.uint8)
    for start in range(0, len(seeds), TOGETHER):
        some = slice(start, start + TOGETHER)
        given = None if latents is None else latents[some]
        images = model.generator.sample_rows(seeds[some], labels[some], truncation=truncation, latents=given)
        pixels[some] = to_pixels(images)
    return pixels


def labels_of(model: TrainedModel, request: DrawRequest) -> Tensor:
    """A label for each image, (count,)."""
    if request.label is not None:
        return torch.full((request.count,), request.label)
    return torch.arange(request.count) % max(1, len(model.labels))


def latents_of(model: TrainedModel, seeds: list[int], labels: Tensor) -> Tensor:
    """The latents (rows, …) that these seeds give."""
    with torch.no_grad(), SeededRows(seeds):
        return model.generator.latent(labels)


def translate_test_images(model: TrainedModel, generator: Translator, request: DrawRequest) -> np.ndarray:
    """Images made from the sources of test images of the label; `seed` chooses them.

    Raises StageError where there are no test images, ParameterError where there are too few.
    """
    if not (PROCESSED / "test").is_dir():
        raise StageError(f"{model.name} translates test images, and {PROCESSED}/test is missing: run `make repro`")
    if request.truncation != 1:
        raise ParameterError(f"truncation: {model.name} translates images: it has no latents to truncate")
    test = read_split("test")
    if test.image_shape != model.image_shape:
        raise StageError(f"{PROCESSED}/test: its images are {test.image_shape}, those of the model {model.image_shape}")
    if list(test.classes) != list(model.classes):
        raise StageError(f"{PROCESSED}/test: its classes are not those of the images that {model.name} learned from")
    found = np.flatnonzero(test.labels == request.label) if request.label is not None else np.arange(len(test.labels))
    if request.count > len(found):
        raise ParameterError(f"count: {request.count} is not allowed; there are {len(found)} test images to translate")
    chosen = np.random.default_rng(request.seed).permutation(found)[: request.count]
    sources = to_uint8(generator.source(to_float(torch.from_numpy(test.images[chosen]))))
    return to_pixels(translate(generator, sources))
