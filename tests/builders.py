"""GANs and trainers to test with: those of a variant of params.yaml, with other options where a test says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from stages import train
from stages.config.components import resolve
from stages.config.params import load
from stages.contracts.gan import GAN
from stages.contracts.generator import ImageShape
from stages.training.batches import Batches
from stages.training.trainer import Hyperparameters, Trainer
from tests.conftest import ROOT

PARAMS = load(ROOT / "params.yaml")
SHAPE = (1, 28, 28)
CLASSES = 10


def components(name: str, **options: Mapping[str, Any]) -> dict[str, Any]:
    """A variant's components by role.

    `options` change them: by role, those of the component, or with a name those of another one.
    """
    found = PARAMS.variants[name].components()
    for role, changes in options.items():
        found[role] = resolve(role, changes if "name" in changes else found[role].model_dump() | changes)
    return found


def build_gan(
    name: str,
    shape: ImageShape = SHAPE,
    classes: int = CLASSES,
    module: type[GAN] | None = None,
    reuse_fakes: bool = False,
    **options: Mapping[str, Any],
) -> Any:
    """Always with the same weights; `module` takes the place of the GAN's own class."""
    torch.manual_seed(0)
    found = components(name, **options)
    options_of_gan = found.pop("gan")
    gan = (module or options_of_gan.module)(options_of_gan, **found, image_shape=shape, classes=classes)
    gan.reuse_fakes = reuse_fakes
    return gan


def hyperparameters(name: str, **changes: Any) -> Hyperparameters:
    """A variant's, with other values."""
    return dataclasses.replace(train.hyperparameters(PARAMS, PARAMS.variants[name]), **changes)


def build_trainer(
    name: str,
    gan: GAN | None = None,
    shape: ImageShape = SHAPE,
    batch_size: int = 4,
    seed: int = 0,
    images: int = 16,
    **changes: Any,
) -> Trainer:
    """Trains on so many random images (a translator on half as many pairs), as a variant does, with other values."""
    gan = gan or build_gan(name, shape)
    torch.manual_seed(seed)
    data = gan.options.training_images(torch.randint(0, 256, (images, *shape), dtype=torch.uint8))
    batches = Batches(data, torch.arange(len(data)) % CLASSES, batch_size)
    return Trainer(gan, batches, hyperparameters(name, **changes))


def real_batch(count: int = 6, shape: ImageShape = SHAPE) -> tuple[Tensor, Tensor]:
    """Images in [-1, 1] and labels, the same at each call."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, *shape, generator=generator) * 2 - 1, torch.arange(count) % CLASSES
