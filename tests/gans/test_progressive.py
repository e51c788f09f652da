"""Growth: both networks grow in step, and real images fade as fakes do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from stages.gans.progressive import growth
from tests.builders import build_gan, real_batch


def build() -> Any:
    """Rests at 7 pixels until 0.2 of training, fades until 0.4, rests at 14, fades from 0.6, is grown at 0.8."""
    return build_gan("progan", gan={"grown_at": 0.8}, network={"channels": [16, 8, 4]})


def test_growth_rests_and_fades_by_turns_until_it_is_over() -> None:
    expected = {0.0: 0, 0.2: 0, 0.3: 0.5, 0.4: 1, 0.6: 1, 0.7: 1.5, 0.8: 2, 0.99: 2}
    assert {progress: growth(progress, 0.8, 2) for progress in expected} == pytest.approx(expected)
    assert growth(0.7, 0.5, 2) == 2  # where the next one would have begun to fade in


def test_both_networks_grow_together_and_plots_say_how_far() -> None:
    gan = build()
    images, labels = real_batch(4)
    plotted = []
    for progress in (0.0, 0.3, 0.5, 0.7, 0.9):
        gan.on_step_start(progress)
        assert gan.generator.growth == gan.discriminator.growth
        gan.discriminator_loss(images, labels)
        scalars = gan.generator_loss(images, labels).scalars
        plotted.append((scalars["resolution"].item(), round(scalars["alpha"].item(), 4)))
    assert plotted == [(7, 1), (14, 0.5), (14, 1), (28, 0.5), (28, 1)]


def test_real_images_fade_as_fakes_do() -> None:
    gan = build()
    images, _ = real_batch(2)
    gan.on_step_start(0.9)
    assert torch.equal(gan.transform_real(images), images)
    gan.on_step_start(0.5)
    assert torch.allclose(gan.transform_real(images), avg_pool2d(images, 2))
    blurred = interpolate(avg_pool2d(images, 2), scale_factor=2)
    for progress, share in ((0.7, 0.5), (0.65, 0.25)):  # of the fade-in
        gan.on_step_start(progress)
        assert gan.generator.stage()[1] == pytest.approx(share)
        assert torch.allclose(gan.transform_real(images), (1 - share) * blurred + share * images, atol=1e-6)


def test_fakes_have_the_resolution_of_real_images() -> None:
    gan = build()
    images, labels = real_batch(2)
    for progress in (0.0, 0.3, 0.5, 0.7, 0.9):
        gan.on_step_start(progress)
        assert gan.generate(labels).images.shape == gan.transform_real(images).shape
