"""Growth: fade-in joins two pure resolutions, and what keeps both networks in step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from stages.networks import progan
from tests.builders import build_gan

SHAPE = (1, 28, 28)
LABELS = torch.zeros(3, dtype=torch.int64)


def options(**changes: Any) -> progan.ProGANNetwork:
    base: dict[str, Any] = {"name": "progan", "latent_size": 5, "channels": [16, 8, 4]}
    return progan.ProGANNetwork(**base | changes)


def generator_and_discriminator() -> tuple[Any, Any]:
    torch.manual_seed(0)
    return options().generator(SHAPE, 10), options().discriminator(SHAPE, 10)


@pytest.mark.parametrize("stage", [0, 1])
def test_the_generators_fade_in_starts_and_ends_at_pure_resolutions(stage: int) -> None:
    generator, _ = generator_and_discriminator()
    latent = torch.randn(3, 5)

    def grown(growth: float) -> torch.Tensor:
        generator.growth.fill_(growth)
        return generator.grown(latent)

    before, after = grown(stage), grown(stage + 1)
    assert after.shape[2] == 2 * before.shape[2] == 14 * (stage + 1)
    enlarged = interpolate(before, scale_factor=2)
    assert torch.allclose(grown(stage + 1e-6), enlarged, atol=1e-4)
    assert torch.allclose(grown(stage + 1 - 1e-6), after, atol=1e-4)
    halfway = grown(stage + 0.5).atanh()
    assert torch.allclose(halfway, (enlarged.atanh() + after.atanh()) / 2, atol=1e-4)


@pytest.mark.parametrize("stage", [0, 1])
def test_the_discriminators_fade_in_starts_and_ends_at_pure_resolutions(stage: int) -> None:
    _, discriminator = generator_and_discriminator()
    images = torch.randn(3, 1, 14 * (stage + 1), 14 * (stage + 1))

    def logits(growth: float, seen: torch.Tensor) -> torch.Tensor:
        discriminator.growth.fill_(growth)
        return discriminator(seen, LABELS)

    before, after = logits(stage, avg_pool2d(images, 2)), logits(stage + 1, images)
    assert not torch.allclose(before, after, atol=1e-3)
    assert torch.allclose(logits(stage + 1e-6, images), before, atol=1e-4)
    assert torch.allclose(logits(stage + 1 - 1e-6, images), after, atol=1e-4)


def test_images_have_the_datas_size_at_every_stage() -> None:
    generator, _ = generator_and_discriminator()
    for growth in (0.0, 0.3, 1.0, 1.9, 2.0):
        generator.growth.fill_(growth)
        assert generator(torch.randn(3, 5), LABELS).shape == (3, *SHAPE)


@pytest.mark.parametrize(
    ("height", "width", "count", "sizes"),
    [
        (28, 28, 3, [(7, 7), (14, 14), (28, 28)]),
        (32, 32, 4, [(4, 4), (8, 8), (16, 16), (32, 32)]),
        (33, 17, 3, [(9, 5), (17, 9), (33, 17)]),
        (30, 30, 1, [(30, 30)]),
    ],
)
def test_each_resolution_is_half_of_the_next_rounded_up(
    height: int, width: int, count: int, sizes: list[tuple[int, int]]
) -> None:
    assert progan.resolutions((1, height, width), count) == sizes
    channels = [4] * count
    network = options(channels=channels)
    players: list[Any] = [build((1, height, width), 10) for build in (network.generator, network.discriminator)]
    generator, discriminator = players
    for stage, size in enumerate(sizes):
        generator.growth.fill_(stage)
        discriminator.growth.fill_(stage)
        grown = generator.grown(torch.randn(3, 5))
        assert grown.shape == (3, 1, *size)
        assert discriminator(grown, LABELS).shape == (3, 1)


def test_equalised_layers_start_with_outputs_of_unit_size() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        wide = progan.EqualizedLinear(4096, 64, gain=1)
        assert wide.weight.std().item() == pytest.approx(1, abs=0.01)  # stored at one size whatever the fan-in
        assert wide(torch.randn(256, 4096)).std().item() == pytest.approx(1, abs=0.05)
        convolution = progan.EqualizedConv(32, 32, 3, gain=1)
        inside = convolution(torch.randn(16, 32, 12, 12))[:, :, 1:-1, 1:-1]
        assert inside.std().item() == pytest.approx(1, abs=0.05)


def test_pixel_norm_leaves_each_pixel_a_mean_square_of_one() -> None:
    hidden = torch.randn(2, 6, 3, 3) * torch.rand(2, 1, 3, 3) * 9
    assert torch.allclose(progan._pixel_norm(hidden).square().mean(dim=1), torch.ones(2, 3, 3), atol=1e-4)


def test_the_generators_layers_are_followed_by_pixel_norm() -> None:
    generator = build_gan("progan").generator
    generator.growth.fill_(len(generator.to_images) - 1)
    seen: list[torch.Tensor] = []
    generator.to_images[-1].register_forward_hook(lambda _layer, given, _output: seen.append(given[0]))
    generator(torch.randn(2, generator.latent_size), torch.zeros(2, dtype=torch.int64))
    (hidden,) = seen
    assert hidden.square().mean(dim=1).median().item() == pytest.approx(1, abs=1e-3)


def test_the_minibatchs_deviation_tells_one_image_from_many() -> None:
    image = torch.randn(1, 4, 3, 3)
    same = progan._with_deviation(image.expand(5, -1, -1, -1))
    assert torch.allclose(same[:, 4], torch.full((5, 3, 3), 1e-4), atol=1e-5)
    far = torch.cat([image, image + 2])  # a deviation of 1 everywhere
    assert torch.allclose(progan._with_deviation(far)[:, 4], torch.ones(2, 3, 3), atol=1e-4)
