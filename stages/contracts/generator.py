"""The contract of generators: what training, sampling and serving ask of one."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stages.config.errors import StageError
from stages.storage.images import Split
from stages.storage.pixels import to_uint8

ImageShape = tuple[int, int, int]  # (channels, height, width)
COLUMNS, SHOWN = 10, 100  # of the picture of samples


class Picture(NamedTuple):
    """uint8 images (count, channels, height, width), to be shown in rows."""

    images: np.ndarray
    columns: int


class Drawn(NamedTuple):
    """What is drawn from a trained generator: arrays and pictures, by the names of their files."""

    arrays: dict[str, np.ndarray]
    pictures: dict[str, Picture]


class Generator(nn.Module):
    """Latents (batch, …), and labels (batch,) where they count, to images in [-1, 1] of the data's shape.

    What changes in the course of training (a stage of growth, say) is kept in buffers: the moving average
    takes parameters and batch statistics smoothly, and copies every other buffer. Both it finds once, by their
    names: they are changed in place, never replaced, and no two names share a tensor.
    """

    latent_size: int
    label_meaning: Literal["ignored", "class", "code"] = "ignored"  # code: training gave it a meaning of its own
    starts_from: ClassVar[Literal["latents", "test_images"]] = "latents"

    def latent(self, labels: Tensor) -> Tensor:
        """One latent a label, from torch's own random numbers, on the labels' device: N(0, I) here."""
        return torch.randn(len(labels), self.latent_size, device=labels.device)

    def generate(self, latent: Tensor, labels: Tensor, truncation: float) -> Tensor:
        """Images of latents drawn towards their mean: 1 leaves them alone, 0 makes them all one."""
        return self(latent * truncation, labels)

    @torch.no_grad()
    def sample(self, labels: Tensor, *, seed: int, truncation: float = 1.0, batch_size: int = 500) -> Tensor:
        """Images (count, channels, height, width) in [-1, 1], one a label (count,).

        The latents are drawn on the CPU, so that a seed gives the same ones on every device. The state
        of torch's random numbers and of the module is left as it was.
        """
        device = labels.device
        was_training = self.training
        self.eval()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            latents = self.latent(labels.cpu()).to(device)
            batches = zip(latents.split(batch_size), labels.split(batch_size), strict=True)
            images = torch.cat([self.generate(latent, batch, truncation) for latent, batch in batches])
        self.train(was_training)
        return images

    def draw(self, labels: Tensor, test: Split, *, seed: int, truncation: float) -> Drawn:
        """A trained generator's samples, one a label (count,), and pictures.

        Arrays are `images` uint8 (count, channels, height, width), and `labels` or `codes` where they count.
        The test split is for generators that start from images.
        """
        images = to_pixels(self.sample(labels, seed=seed, truncation=truncation))
        arrays = {"images": images}
        if self.label_meaning != "ignored":
            arrays["labels" if self.label_meaning == "class" else "codes"] = labels.cpu().numpy()
        return Drawn(arrays, {"samples": Picture(images[:SHOWN], COLUMNS)} | self.pictures(seed=seed))

    def pictures(self, *, seed: int) -> dict[str, Picture]:
        """What to show of this generator besides plain samples, by name: nothing here."""
        return {}

    def example_inputs(self, image_shape: ImageShape, classes: Sequence[str]) -> Any:
        """An example of what `serve` takes: columns of a table (or, of a translator, uint8 images)."""
        example: dict[str, list[Any]] = {"seed": [0, 1]}
        return example if self.label_meaning == "ignored" else example | {"label": [classes[0], classes[-1]]}

    def serve(self, inputs: Any, classes: Sequence[str]) -> Tensor:
        """Images in [-1, 1], one a row of the columns `seed` and `label` (a class name): each from its own seed.

        Raises ValueError for a label that is no class.
        """
        table: Mapping[str, Any] = inputs
        seeds = list(table["seed"])
        names = list(table["label"]) if "label" in table else [classes[0]] * len(seeds)
        if unknown := sorted(set(map(str, names)) - set(classes)):
            raise ValueError(f"unknown label {unknown[0]!r}; expected one of: {', '.join(classes)}")
        rows = zip(map(int, seeds), (classes.index(str(name)) for name in names), strict=True)
        return torch.cat([self.sample(torch.tensor([label]), seed=seed) for seed, label in rows])


def to_pixels(images: Tensor) -> np.ndarray:
    """Float images in [-1, 1] to a uint8 array; raises StageError where they are not finite."""
    if not torch.isfinite(images).all():
        raise StageError("what the generator draws is not finite: are its weights in models/ whole?")
    return to_uint8(images).cpu().numpy()
