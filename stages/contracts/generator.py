"""The contract of generators: what training, sampling and serving ask of one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stages.config.errors import StageError
from stages.contracts.rows import SeededRows, in_batches
from stages.contracts.shares import spread
from stages.storage.images import Split
from stages.storage.pixels import to_uint8

ImageShape = tuple[int, int, int]  # (channels, height, width)
COLUMNS, SHOWN = 10, 100  # of the picture of samples
MOST_SAMPLES = 10**7  # of one seed
PATHS = 10  # in the picture of interpolations
TOGETHER = 500  # images of 28 × 28 pixels that go through a generator at once


class Picture(NamedTuple):
    """uint8 images (count, channels, height, width), to be shown in rows."""

    images: np.ndarray
    columns: int


class Generator(nn.Module):
    """Latents (batch, …), and labels (batch,) where they count, to images in [-1, 1] of the data's shape.

    What changes in the course of training (such as a stage of growth) is kept in buffers: the moving average
    takes parameters and batch statistics smoothly, and copies every other buffer. Both it finds once, by their
    names: they are changed in place, never replaced, and no two names share a tensor.
    """

    latent_size: int
    label_meaning: Literal["ignored", "class", "code"] = "ignored"  # code: training gave it a meaning of its own
    categories: int = 0  # of codes, where a label is one
    starts_from: ClassVar[Literal["latents", "test_images"]] = "latents"
    offers: ClassVar[tuple[str, ...]] = ()  # to scores, besides samples: readers in stages/evaluation/samples.py

    def source_shape(self, image_shape: ImageShape) -> ImageShape | None:
        """Shape of the image that an image of that shape is made from; None where it is made from latents."""
        return None

    def latent(self, labels: Tensor) -> Tensor:
        """One latent a label, from torch's own random numbers, on the labels' device: N(0, I) here."""
        return torch.randn(len(labels), self.latent_size, device=labels.device)

    def generate(self, latent: Tensor, labels: Tensor, truncation: float) -> Tensor:
        """Images of latents drawn towards their mean: 1 leaves them alone, 0 makes them all one."""
        return self(latent * truncation, labels)

    @torch.no_grad()
    def sample(self, labels: Tensor, *, seed: int, truncation: float = 1.0, batch_size: int = TOGETHER) -> Tensor:
        """Images (count, channels, height, width) in [-1, 1], one per label (count,).

        The latents are drawn on the CPU, so that a seed gives the same ones on every device. The state
        of torch's random numbers and of the module is left as it was.
        """
        device = labels.device
        with evaluating(self), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            latents = self.latent(labels.cpu()).to(device)
            batches = zip(latents.split(batch_size), labels.split(batch_size), strict=True)
            return torch.cat([self.generate(latent, batch, truncation) for latent, batch in batches])

    def draw(self, labels: Tensor, test: Split, *, first: int, seed: int, truncation: float) -> dict[str, np.ndarray]:
        """Arrays of the samples with the numbers from `first` on, one per label (count,).

        They are `images` uint8 (count, channels, height, width), and `labels` or `codes` where they count. A sample
        depends on its number and the seed alone: several processes may each draw some. The test split is for
        generators that start from images.
        """
        asked = labels if len(labels) else labels.new_zeros(1)  # an array of no images must have the shape of others
        seeds = range(seed * MOST_SAMPLES + first, seed * MOST_SAMPLES + first + len(asked))
        images = self.sample_rows(seeds, asked, truncation=truncation)[: len(labels)]
        arrays = {"images": to_pixels(images)}
        if self.label_meaning != "ignored":
            arrays["labels" if self.label_meaning == "class" else "codes"] = labels.cpu().numpy()
        return arrays

    def draw_pictures(
        self, arrays: Mapping[str, np.ndarray], labels: Tensor, test: Split, *, seed: int, truncation: float
    ) -> dict[str, Picture]:
        """Pictures, by name, of the samples that `draw` gave from number 0 on, and of what else there is to see.

        `labels`, those of the samples shown, are for the latter.
        """
        more = self.pictures(labels, seed=seed, truncation=truncation)
        return {"samples": Picture(arrays["images"][first_in_turn(arrays)], COLUMNS)} | more

    def pictures(self, labels: Tensor, *, seed: int, truncation: float) -> dict[str, Picture]:
        """What to show of this generator besides plain samples, by name: interpolations, a row each."""
        images = self.interpolate(labels[:PATHS], COLUMNS, seed=seed, truncation=truncation)
        return {"interpolations": Picture(to_pixels(images), COLUMNS)}

    @torch.no_grad()
    def interpolate(self, labels: Tensor, steps: int, *, seed: int, truncation: float = 1.0) -> Tensor:
        """Images (count * steps, channels, height, width) in [-1, 1]: for each label a path from one latent to another.

        Both ends come from `seed`. The modes of the module and torch's random numbers are left as they were.
        """
        device = labels.device
        shares = torch.linspace(0, 1, steps, device=device).repeat(len(labels)).unsqueeze(1)
        with evaluating(self), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            start, end = (self.latent(labels.cpu()).to(device).repeat_interleave(steps, dim=0) for _ in range(2))
            return self.generate(self.mix_latents(start, end, shares), labels.repeat_interleave(steps), truncation)

    def mix_latents(self, start: Tensor, end: Tensor, share: Tensor) -> Tensor:
        """Latents between two (batch, latent_size): `start` where share (batch, 1) is 0, `end` where it is 1.

        Along a circle: a straight line would leave the lengths that Gaussian latents have (White, 2016, section 2.1).
        """
        return start * torch.cos(share * torch.pi / 2) + end * torch.sin(share * torch.pi / 2)

    def label_names(self, classes: Sequence[str]) -> list[str]:
        """What a label may be called: the names of the classes, the numbers of codes, or nothing."""
        names = {"ignored": [], "class": list(classes), "code": [str(code) for code in range(self.categories)]}
        return names[self.label_meaning]

    @torch.no_grad()
    def sample_rows(
        self, seeds: Sequence[int], labels: Tensor, *, truncation: float = 1.0, latents: Tensor | None = None
    ) -> Tensor:
        """Images (rows, channels, height, width) in [-1, 1], one per label (rows,), each from its own seed.

        A row's image does not depend on other rows. `latents` (rows, …) take the place of those of the seeds, which
        then give the noise only.
        """

        def draw(rows: list[int]) -> Tensor:
            with SeededRows([seeds[row] for row in rows]):
                drawn = self.latent(labels[rows])
                return self.generate(drawn if latents is None else latents[rows], labels[rows], truncation)

        with evaluating(self):
            return in_batches(draw, len(seeds))


def together(images: Tensor) -> int:
    """How many images (…, height, width) go through a generator at once: fewer of large ones."""
    height, width = images.shape[-2:]
    return max(1, min(TOGETHER, TOGETHER * 28 * 28 // (height * width)))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within it, the module is in evaluation mode."""
    was_training = module.training
    try:
        module.eval()
        yield
    finally:
        module.train(was_training)


def labels_like(generator: Generator, labels: Tensor, count: int) -> Tensor:
    """Labels (count,) to draw samples of: classes in the shares that they have among `labels`, codes in equal ones.

    They are evenly spread, and on the device of the labels given.
    """
    has_codes = generator.label_meaning == "code"
    sizes = np.ones(generator.categories, np.int64) if has_codes else np.bincount(labels.cpu().numpy())
    return torch.from_numpy(spread(count, sizes)).to(labels.device)


def first_in_turn(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Indices of the samples to show: the first ones, and of each class or code in turn."""
    labels = arrays.get("labels", arrays.get("codes", np.zeros(len(arrays["images"]))))
    counts = np.unique(labels, return_counts=True)[1]
    turns = np.empty(len(labels), np.int64)  # of each label, from 0
    turns[np.argsort(labels, kind="stable")] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.lexsort((labels, turns))[:SHOWN]


def to_pixels(images: Tensor) -> np.ndarray:
    """Float images in [-1, 1] to a uint8 array; raises StageError where they are not finite."""
    if not torch.isfinite(images).all():
        raise StageError("what the generator draws is not finite: are its weights in models/ whole?")
    return to_uint8(images).cpu().numpy()
