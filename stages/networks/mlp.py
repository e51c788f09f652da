"""Fully connected networks (Goodfellow et al., 2014); conditional with embedded labels (Mirza and Osindero, 2014)."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from stages.config.types import Size
from stages.contracts.generator import Generator, ImageShape
from stages.contracts.network import Network

Widths = Annotated[list[Size], Field(min_length=1, max_length=100)]
Slope = Annotated[float, Field(ge=0, lt=1)]


class MLPGenerator(Generator):
    """Latent, with the label's embedding where conditional, to an image."""

    def __init__(self, options: MLPNetwork, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.latent_size = options.latent_size
        self.label_meaning = "class" if options.label_embedding_size else "ignored"
        self.image_shape = image_shape
        self.embedding = _embedding(options, classes)
        layers: list[nn.Module] = []
        size = options.latent_size + options.label_embedding_size
        for index, width in enumerate(options.generator_widths):
            normalise = options.batch_norm == "all" or (options.batch_norm == "inner" and index > 0)
            layers += _linear(size, width, normalise)
            layers += [nn.LeakyReLU(options.generator_slope)]
            size = width
        layers += _linear(size, math.prod(image_shape), options.batch_norm == "all")
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, latent: Tensor, labels: Tensor) -> Tensor:
        """(batch, latent_size), (batch,) to (batch, channels, height, width)."""
        if self.embedding is not None:
            latent = torch.cat([latent, self.embedding(labels)], dim=1)
        return self.layers(latent).unflatten(1, self.image_shape)


class MLPDiscriminator(nn.Module):
    """Image, with the label's embedding where conditional, to one logit."""

    def __init__(self, options: MLPNetwork, image_shape: ImageShape, classes: int, outputs: int) -> None:
        super().__init__()
        self.embedding = _embedding(options, classes)
        layers: list[nn.Module] = []
        size = math.prod(image_shape) + options.label_embedding_size
        for width in options.discriminator_widths:
            layers += [nn.Linear(size, width), nn.LeakyReLU(options.discriminator_slope)]
            layers += [nn.Dropout(options.dropout)] if options.dropout else []
            size = width
        self.layers = nn.Sequential(*layers, nn.Linear(size, outputs))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(batch, channels, height, width), (batch,) to (batch, outputs)."""
        pixels = images.flatten(1)
        if self.embedding is not None:
            pixels = torch.cat([pixels, self.embedding(labels)], dim=1)
        return self.layers(pixels)


def _embedding(options: MLPNetwork, classes: int) -> nn.Embedding | None:
    size = options.label_embedding_size
    return nn.Embedding(classes, size) if size else None


def _linear(size: int, width: int, normalise: bool) -> list[nn.Module]:
    if not normalise:
        return [nn.Linear(size, width)]
    return [nn.Linear(size, width, bias=False), nn.BatchNorm1d(width)]  # the norm has its own bias


class MLPNetwork(Network):
    """Hidden widths of both players, and what stands between the linear layers."""

    generator_type: ClassVar = MLPGenerator
    discriminator_type: ClassVar = MLPDiscriminator
    per_sample: ClassVar[bool] = True  # no batch norm in the discriminator
    latent_size: Size
    generator_widths: Widths
    discriminator_widths: Widths
    generator_slope: Slope  # of leaky ReLU below zero; 0 is ReLU
    discriminator_slope: Slope
    batch_norm: Literal["none", "inner", "all"]  # in the generator; inner: hidden layers but the first
    dropout: Annotated[float, Field(ge=0, lt=1)]  # in the discriminator
    label_embedding_size: Annotated[int, Field(ge=0, le=65536)]  # 0: unconditional

    @property
    @override
    def generator_sees_labels(self) -> bool:
        return self.label_embedding_size > 0

    discriminator_sees_labels = generator_sees_labels
