"""Models to serve: new generators of the variants of params.yaml, with all of their parts at work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.contracts.generator import ImageShape
from stages.storage.files import write_bytes, write_json
from stages.storage.paths import CONFIG, GENERATOR
from stages.storage.weights import weights_to_bytes
from stages.train import describe_generator
from tests.builders import SHAPE, build_gan, components

CLASSES = ("zero", "one", "two", "<b>three</b>")
UNUSED_AT_FIRST = ("noise_size", "gamma", "mean_style", "running_mean")  # zero in a new network


def lively_generator(name: str, shape: ImageShape = SHAPE, classes: int = len(CLASSES)) -> Any:
    """A variant's generator with random statistics, and with weights that begin at zero set to others."""
    generator = build_gan(name, shape, classes).generator
    with torch.no_grad():
        for key, value in generator.state_dict().items():
            if key.endswith(UNUSED_AT_FIRST):
                value.copy_(torch.rand_like(value) - 0.3)
            if key.endswith("running_var"):
                value.copy_(torch.rand_like(value) * 0.1 + 0.01)  # brighter images, darker ones
            if key.endswith("growth"):
                value.fill_(1.5)
    return generator.eval()


def write_model(folder: Path, name: str, shape: ImageShape = SHAPE, classes: Sequence[str] = CLASSES) -> Any:
    """A model's folder, as training leaves it; the generator that is in it."""
    generator = lively_generator(name, shape, len(classes))
    parts = {role: component.model_dump() for role, component in components(name).items()}
    config = {"variant": parts, "image_shape": list(shape), "classes": list(classes)}
    write_json(folder / CONFIG, config | describe_generator(generator, shape))
    write_bytes(folder / GENERATOR, weights_to_bytes(generator))
    return generator


def rows_one_by_one(generator: Any, seeds: Sequence[int], labels: Sequence[int], truncation: float = 1.0) -> Tensor:
    """Images in [-1, 1], each drawn alone, by torch's own seed."""
    drawn = [
        generator.sample(torch.tensor([label]), seed=seed, truncation=truncation)
        for seed, label in zip(seeds, labels, strict=True)
    ]
    return torch.cat(drawn)
