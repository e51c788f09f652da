"""Progressive growing: both networks grow by the schedule, and real images are as blurred as fakes."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import avg_pool2d, interpolate

from tests.builders import SHAPE, build_gan

LABELS = torch.zeros(4, dtype=torch.int64)


def build() -> Any:
    """Grown at 80 % of training, over resolutions of 7, 14 and 28 pixels."""
    return build_gan("progan", gan={"grown_at": 0.8})


def test_both_networks_grow_together_and_plots_say_how_far() -> None:
    gan = build()
    images = torch.rand(4, *SHAPE) * 2 - 1
    plotted = []
    for progress in (0.0, 0.3, 0.5, 0.7, 0.9):
        gan.on_step_start(progress)
        assert gan.generator.growth == gan.discriminator.growth
        gan.discriminator_loss(images, LABELS)
        scalars = gan.generator_loss(images, LABELS).scalars
        plotted.append((scalars["resolution"].item(), round(scalars["alpha"].item(), 4)))
    assert plotted == [(7, 1), (14, 0.5), (14, 1), (28, 0.5), (28, 1)]


def test_real_images_fade_as_fakes_do() -> None:
    gan = build()
    images = torch.rand(2, *SHAPE)
    gan.on_step_start(0.9)
    assert torch.equal(gan.transform_real(images), images)
    gan.on_step_start(0.5)
    assert torch.allclose(gan.transform_real(images), avg_pool2d(images, 2))
    gan.on_step_start(0.7)  # half faded in
    blurred = interpolate(avg_pool2d(images, 2), scale_factor=2)
    assert torch.allclose(gan.transform_real(images), (blurred + images) / 2, atol=1e-6)
