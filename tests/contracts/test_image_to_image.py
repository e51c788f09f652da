"""GANs whose generator starts from images: fakes are made from the sources of the step's real images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stages.storage.pixels import to_float
from tests.builders import build_gan, real_batch
from tests.contracts.generators import Doubling

NAMES = ("pix2pix", "srgan")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reuse", [False, True])
def test_the_generator_is_asked_with_the_sources_of_the_real_images(name: str, reuse: bool) -> None:
    gan = build_gan(name, reuse_fakes=reuse)
    asked: list[Tensor] = []
    gan.generator.register_forward_hook(lambda _module, given, _made: asked.append(given[0]))
    images, labels = real_batch()
    for real in (images, images.flip(0)):  # those of each step, not of an earlier one
        gan.discriminator_loss(real, labels)
        gan.generator_loss(real, labels)
        expected = gan.generator.source(real)
        assert len(asked) == (1 if reuse else 2)
        assert all(torch.equal(source, expected) for source in asked)
        asked.clear()


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_of_the_discriminators_loss_reaches_the_generator(name: str) -> None:
    gan = build_gan(name, reuse_fakes=True)
    images, labels = real_batch()
    gan.discriminator_loss(images, labels).loss.backward()
    assert all(weight.grad is None for weight in gan.generator.parameters())
    gan.generator_loss(images, labels).loss.backward()
    assert all(weight.grad is not None for weight in gan.generator.parameters())


def test_samples_on_the_way_are_made_from_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.contracts.generator.TOGETHER", 4)
    training_images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8)
    gan, generator = build_gan("pix2pix"), Doubling().train()
    samples = gan.sample(generator, torch.zeros(9, dtype=torch.int64), training_images, seed=1)
    small = to_float(training_images[:9, :, ::2, ::2])
    assert torch.equal(samples, small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) / 2)
    assert generator.training


@pytest.mark.parametrize("name", NAMES)
def test_samples_have_no_dropout_and_do_not_depend_on_their_batch(name: str) -> None:
    gan = build_gan(name)
    images = torch.randint(0, 256, (8, 1, 28, 28), dtype=torch.uint8)

    def sample(count: int) -> Any:
        return gan.sample(gan.generator, torch.zeros(count, dtype=torch.int64), images, seed=1)

    assert torch.equal(sample(8), sample(8))
    torch.testing.assert_close(sample(8)[:3], sample(3))
    assert all(module.training for module in gan.generator.modules() if isinstance(module, nn.Dropout))
