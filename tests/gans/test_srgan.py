"""Super-resolution: every term of the losses, and what the generator makes of images that it can learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import Tensor
from torch.nn.functional import softplus

from stages.scoring.frechet import features_to_fid
from stages.scoring.psnr import images_to_psnr
from stages.training.augmentation import augment
from tests.builders import build_gan, real_batch
from tests.gans.small_trainings import strokes, train_and_draw

SHAPE = (3, 16, 16)


@pytest.mark.parametrize("reuse", [False, True])
def test_the_generators_loss_is_that_of_pixels_features_and_logits(reuse: bool) -> None:
    weights = {"pixel_weight": 7.0, "feature_weight": 3.0}
    gan = build_gan("srgan", SHAPE, gan=weights, reuse_fakes=reuse)
    images, labels = real_batch(4, SHAPE)
    gan.discriminator_loss(images, labels)
    losses = gan.generator_loss(images, labels)
    made = gan.generator(gan.generator.source(images), labels)
    d = gan.discriminator
    expected = {
        "generator_loss": softplus(-d.head(d.layers(made))).mean(),
        "pixel_loss": 7 * (made - images).square().mean(),
        "feature_loss": 3 * (d.layers(made) - d.layers(images)).abs().mean(),
    }
    assert losses.scalars.keys() == expected.keys()
    for name, value in expected.items():
        assert losses.scalars[name].item() == pytest.approx(value.item(), rel=1e-4), name
    assert losses.loss.item() == pytest.approx(sum(expected.values()).item(), rel=1e-4)


def test_the_discriminators_loss_is_that_of_its_logits_alone() -> None:
    gan = build_gan("srgan", SHAPE)
    images, labels = real_batch(4, SHAPE)
    losses = gan.discriminator_loss(images, labels)
    made = gan.generator(gan.generator.source(images), labels)
    real, fake = (gan.discriminator.head(gan.discriminator.layers(shown)) for shown in (images, made))
    assert losses.loss.item() == pytest.approx((softplus(-real).mean() + softplus(fake).mean()).item(), rel=1e-5)


def test_features_that_do_not_count_are_not_looked_at() -> None:
    gan: Any = build_gan("srgan", SHAPE, gan={"feature_weight": 0.0})
    seen: list[Tensor] = []
    gan.discriminator.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    assert gan.generator_loss(*real_batch(4, SHAPE)).scalars.keys() == {"generator_loss", "pixel_loss"}
    assert len(seen) == 1


def test_the_feature_loss_teaches_the_generator_and_no_real_image() -> None:
    gan = build_gan("srgan", SHAPE)
    images, labels = real_batch(4, SHAPE)
    images.requires_grad_()
    source = gan.generator.source
    gan.generator.source = lambda real: source(real.detach())  # the fakes' own way to real images
    losses = gan.generator_loss(images, labels)
    losses.scalars["feature_loss"].backward()
    assert all(weight.grad is not None for weight in gan.generator.parameters())
    assert images.grad is None


def test_features_are_those_of_images_that_are_not_augmented() -> None:
    gan = build_gan("srgan", SHAPE)
    gan.augment = lambda images: augment(images, ["translation", "cutout"])
    images, labels = real_batch(4, SHAPE)
    gan.generator.forward = lambda source, labels: images  # fakes that are the real images
    losses = gan.generator_loss(images, labels)
    assert losses.scalars["feature_loss"].item() == 0


def test_enlarged_images_are_nearer_to_the_originals_and_look_more_like_them_than_bicubic_ones() -> None:
    test = strokes(800, seed=1)
    arrays = train_and_draw("srgan", strokes(2000, seed=0), test, seen=1500)
    psnr = {name: images_to_psnr(arrays[name], test).mean() for name in ("images", "bicubic")}
    fid = {name: features_to_fid(some_pixels(arrays[name]), some_pixels(test)) for name in psnr}
    assert psnr["images"] > psnr["bicubic"] + 1
    assert fid["images"] < fid["bicubic"] / 4


def some_pixels(images: np.ndarray) -> np.ndarray:
    """A third of the pixels (count, 262), as features."""
    return images.reshape(len(images), -1)[:, ::3] / 127.5
