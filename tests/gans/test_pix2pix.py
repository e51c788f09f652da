"""Paired translation: what the discriminator sees, every term of the losses, and what the discriminator is for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from stages.scoring.paired_l1 import images_to_l1
from stages.storage.pixels import to_float, to_outlines, to_uint8
from stages.training.receptive_field import receptive_field
from tests.builders import build_gan, real_batch
from tests.gans.small_trainings import speckles, strokes, train_and_draw

SHAPE = (3, 12, 12)


def build(reuse_fakes: bool = False, **changes: Any) -> Any:
    """Without dropout, so that the same source gives the same image again."""
    return build_gan("pix2pix", SHAPE, reuse_fakes=reuse_fakes, gan=changes, network={"dropout": 0.0})


def test_the_discriminator_sees_images_behind_their_outlines() -> None:
    gan = build(reuse_fakes=True)
    seen: list[Tensor] = []
    gan.discriminator.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    images, labels = real_batch(4, SHAPE)
    gan.discriminator_loss(images, labels)
    outlines = to_outlines(images)
    real, fake = seen[0].split(4)
    assert torch.equal(real, torch.cat([outlines, images], dim=1))
    assert torch.equal(fake, torch.cat([outlines, gan.generator(outlines, labels)], dim=1))
    gan.generator_loss(images, labels)
    assert torch.equal(seen[1], fake)


@pytest.mark.parametrize("reuse", [False, True])
def test_the_generators_loss_is_the_papers(reuse: bool) -> None:
    gan = build(reuse_fakes=reuse, l1_weight=7.0)
    images, labels = real_batch(4, SHAPE)
    gan.discriminator_loss(images, labels)
    losses = gan.generator_loss(images, labels)
    outlines = to_outlines(images)
    made = gan.generator(outlines, labels)
    logits = gan.discriminator(torch.cat([outlines, made], dim=1), labels)
    expected = {"generator_loss": softplus(-logits).mean(), "l1_loss": 7 * (made - images).abs().mean()}
    assert losses.scalars.keys() == expected.keys()
    for name, value in expected.items():
        assert losses.scalars[name].item() == pytest.approx(value.item(), rel=1e-5), name
    assert losses.loss.item() == pytest.approx(sum(expected.values()).item(), rel=1e-5)


def test_the_discriminators_loss_compares_true_pairs_with_made_ones() -> None:
    gan = build()
    images, labels = real_batch(4, SHAPE)
    losses = gan.discriminator_loss(images, labels)
    outlines = to_outlines(images)
    real, fake = (
        gan.discriminator(torch.cat([outlines, shown], dim=1), labels)
        for shown in (images, gan.generator(outlines, labels))
    )
    assert losses.loss.item() == pytest.approx((softplus(-real).mean() + softplus(fake).mean()).item(), rel=1e-5)


def test_the_receptive_field_is_that_of_the_images() -> None:
    assert receptive_field(build_gan("pix2pix"), (1, 28, 28)) == (18, 18)


def test_it_learns_to_fill_outlines() -> None:
    test = strokes(400, seed=1)
    outlines = to_uint8(to_outlines(to_float(torch.from_numpy(test)))).numpy()
    images = train_and_draw("pix2pix", strokes(2000, seed=0), test, seen=1500)["images"]
    assert images_to_l1(images, test) < 0.4 * images_to_l1(outlines, test)


def test_distance_alone_draws_the_median_and_the_discriminator_asks_for_what_is_likely() -> None:
    """An outline does not say which pixels of a square are bright: the median of them is dark (section 3.3)."""
    test = speckles(400, seed=100)
    bright: dict[float, list[float]] = {1e6: [], 10.0: []}
    for weight, trainings in ((1e6, 1), (10.0, 4)):  # against a discriminator one training swings by a factor of three
        for seed in range(trainings):
            train = speckles(2000, seed=seed)
            images = train_and_draw("pix2pix", train, test, seen=2000, gan={"l1_weight": weight})["images"]
            bright[weight].append((images > 127).mean() / (test > 127).mean())
    assert bright[1e6][0] < 0.05
    assert min(bright[10.0]) > 0.2
    assert 0.5 < sum(bright[10.0]) / len(bright[10.0]) < 1.5
