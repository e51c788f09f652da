"""The autoencoder as discriminator: each image's own error, divided by its ink."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.builders import SHAPE, build_gan, real_batch

CONVOLUTIONAL = {"name": "convolutional", "channels": 4}
AUTOENCODERS = [CONVOLUTIONAL, {"name": "fully_connected", "widths": [30, 20]}]


def build(**options: Any) -> Any:
    """A BEGAN of the variant's network with some options changed; the same weights at each call."""
    return build_gan("began", network=options)


def logits(gan: Any, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return gan.discriminator(images, torch.zeros(len(images), dtype=torch.int64))


@pytest.mark.parametrize("autoencoder", AUTOENCODERS)
def test_an_error_counts_by_the_ink_there_is(autoencoder: dict[str, Any]) -> None:
    gans = [build(ink_power=power, autoencoder=autoencoder) for power in (0.0, 0.5, 1.0)]
    images = torch.stack([torch.full(SHAPE, -1.0), torch.full(SHAPE, -0.5), torch.full(SHAPE, 1.0)])
    plain, root, relative = (logits(gan, images).squeeze(1) for gan in gans)
    ink = torch.tensor([0.05, 0.55, 2.05])
    torch.testing.assert_close(plain / ink, relative)
    torch.testing.assert_close(plain / ink.sqrt(), root)


@pytest.mark.parametrize("autoencoder", AUTOENCODERS)
def test_a_logit_is_minus_the_images_own_error(autoencoder: dict[str, Any]) -> None:
    gan = build(ink_power=0.0, autoencoder=autoencoder)
    images, _ = real_batch(3)
    with torch.no_grad():
        errors = [(image - gan.discriminator.reconstruct(image[None])[0]).abs().mean() for image in images]
    torch.testing.assert_close(logits(gan, images), -torch.stack(errors)[:, None])


@pytest.mark.parametrize("autoencoder", AUTOENCODERS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 27, 30)])
def test_codes_have_the_latents_size_and_reconstructions_the_images(
    autoencoder: dict[str, Any], shape: tuple[int, int, int]
) -> None:
    gan = build_gan("began", shape, network={"autoencoder": autoencoder, "latent_size": 5})
    images = torch.rand(2, *shape)
    assert gan.discriminator.encoder(images).shape == (2, 5)
    assert gan.discriminator.reconstruct(images).shape == images.shape


def test_latents_are_uniform() -> None:
    latent = build().generator.latent(torch.zeros(2000, dtype=torch.int64))
    assert latent.abs().max() <= 1
    assert latent.mean().item() == pytest.approx(0, abs=0.01)
    assert latent.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_a_path_between_latents_stays_among_uniform_ones() -> None:
    generator = build().generator
    start, end = torch.full((3, 4), 0.9), torch.full((3, 4), 0.5)
    mixed = generator.mix_latents(start, end, torch.tensor([[0.0], [0.5], [1.0]]))
    torch.testing.assert_close(mixed[:, 0], torch.tensor([0.9, 0.7, 0.5]))
