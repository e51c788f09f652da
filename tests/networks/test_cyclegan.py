"""Translators and patch discriminators: which one is asked, what they see, how they start."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

from stages.networks.cyclegan import CycleGANNetwork

LABELS = torch.zeros(2, dtype=torch.int64)


def options(**changes: Any) -> CycleGANNetwork:
    base: dict[str, Any] = {"name": "cyclegan", "generator_channels": 4, "residual_blocks": 2}
    return CycleGANNetwork(**base | {"discriminator_channels": 8} | changes)


def test_each_domain_has_its_own_networks() -> None:
    torch.manual_seed(0)
    generator: Any = options().generator((1, 12, 12), 10)
    discriminator: Any = options().discriminator((1, 12, 12), 10)
    images = torch.randn(2, 1, 12, 12)
    digits, outlines = generator.to_digits(images), generator.to_outlines(images)
    assert not torch.allclose(digits, outlines)
    assert torch.equal(generator.translate(images, "digits"), digits)
    assert torch.equal(generator.translate(images, "outlines"), outlines)
    assert torch.equal(generator(images, LABELS), digits)
    assert not torch.allclose(discriminator.digits(images), discriminator.outlines(images))
    assert torch.equal(discriminator(images, LABELS), discriminator.digits(images))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 27, 30), (1, 12, 13)])
@pytest.mark.parametrize("target", ["digits", "outlines"])
def test_translations_have_the_images_own_size(
    shape: tuple[int, int, int], target: Literal["digits", "outlines"]
) -> None:
    generator: Any = options().generator(shape, 10)
    made = generator.translate(torch.randn(2, *shape), target)
    assert made.shape == (2, *shape)
    assert made.abs().max() <= 1


def test_a_logit_judges_a_patch_at_a_quarter_of_the_size() -> None:
    discriminator = options().discriminator((1, 28, 28), 10, outputs=3)
    assert discriminator(torch.randn(2, 1, 28, 28), LABELS).shape == (2, 3, 7, 7)


def test_weights_start_with_a_deviation_of_0_02() -> None:
    torch.manual_seed(0)
    network = options(generator_channels=16, discriminator_channels=32)
    for player in (network.generator((1, 28, 28), 10), network.discriminator((1, 28, 28), 10)):
        convolutions = [
            module for module in player.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d)
        ]
        assert len(convolutions) >= 6
        for convolution in convolutions:
            assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.15)
