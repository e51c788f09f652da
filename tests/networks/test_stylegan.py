"""Styles: which layers they reach, what truncation and noise do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.networks import stylegan

SHAPE = (1, 28, 28)
LABELS = torch.zeros(4, dtype=torch.int64)


def generator(**changes: Any) -> Any:
    torch.manual_seed(0)
    base: dict[str, Any] = {
        "name": "stylegan",
        "latent_size": 6,
        "mapping_layers": 3,
        "mapping_learning_rate": 0.01,
        "base_channels": 4,
        "style_mixing": 0.5,
        "discriminator_channels": 4,
    }
    built: Any = stylegan.StyleGANNetwork(**base | changes).generator(SHAPE, 10)
    for layer in built.layers:
        torch.nn.init.ones_(layer.noise_size)
    return built


def styles_reaching_layers(built: stylegan.StyleGANGenerator, run: Any) -> Tensor:
    """Styles (batch, layers, size) that the layers are given last while `run` runs."""
    seen: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda _layer, given, _out: seen.append(given[1])) for layer in built.layers]
    run()
    for hook in hooks:
        hook.remove()
    return torch.stack(seen[-len(built.layers) :], dim=1)


@pytest.mark.parametrize("crossover", range(7))
def test_mixing_changes_the_chosen_layers_styles_and_no_others(crossover: int) -> None:
    built = generator().eval()
    one, other = (built.every_layer(built.styles(torch.randn(4, 6))) for _ in range(2))
    mixed = built.mix(one, other, torch.full((4,), crossover))
    reached = styles_reaching_layers(built, lambda: built.synthesise(mixed))
    assert reached.shape[1] == 6
    assert torch.equal(reached[:, :crossover], one[:, :crossover])
    assert torch.equal(reached[:, crossover:], other[:, crossover:])


def test_training_mixes_the_share_of_images_that_it_is_told_to() -> None:
    for share in (0.0, 0.5, 1.0):
        built = generator(style_mixing=share).train()
        latent = torch.randn(800, 6)
        reached = styles_reaching_layers(built, lambda built=built, latent=latent: built(latent, LABELS[:1]))
        is_mixed = (reached != reached[:, :1]).any(dim=2).any(dim=1)
        assert is_mixed.float().mean().item() == pytest.approx(share, abs=0.06)
        own = built.styles(latent)
        assert torch.equal(reached[:, 0], own)  # the first layer always follows the image's own style
    built.eval()
    reached = styles_reaching_layers(built, lambda: built(latent, LABELS[:1]))
    assert torch.equal(reached, reached[:, :1].expand_as(reached))


def test_truncation_draws_styles_towards_their_mean() -> None:
    built = generator().eval()
    built.mean_style.copy_(torch.randn(6))
    latent = torch.randn(4, 6)
    for truncation in (0.0, 0.7, 1.0):
        reached = styles_reaching_layers(built, lambda t=truncation: built.generate(latent, LABELS, t))
        expected = built.mean_style + truncation * (built.styles(latent) - built.mean_style)
        assert torch.allclose(reached[:, 3], expected, atol=1e-6)


def test_the_mean_style_follows_training_and_samples_leave_it_alone() -> None:
    built = generator().train()
    built.mean_style.fill_(2.0)
    latent = torch.randn(8, 6)
    built(latent, LABELS[:1])
    expected = 0.99 * torch.full((6,), 2.0) + 0.01 * built.styles(latent).mean(dim=0)
    assert torch.allclose(built.mean_style, expected, atol=1e-6)
    before = built.mean_style.clone()
    built.sample(LABELS, seed=0)
    assert torch.equal(built.mean_style, before)


def test_adaptive_instance_norm_gives_each_channel_the_styles_mean_and_deviation() -> None:
    torch.manual_seed(0)
    layer = stylegan.StyledLayer(torch.nn.Identity(), 3, 6)
    style = torch.randn(4, 6)
    out = layer(torch.randn(4, 3, 9, 9) * 5 + 2, style)
    scale, shift = layer.scale_and_shift(style).chunk(2, dim=1)
    assert torch.allclose(out.mean(dim=(2, 3)), shift, atol=1e-4)
    assert torch.allclose(out.std(dim=(2, 3), unbiased=False), (1 + scale).abs(), atol=1e-3)


def test_noise_is_new_at_every_pass_and_has_its_learned_size() -> None:
    built = generator().eval()
    latent = torch.randn(1, 6)
    assert not torch.equal(built(latent, LABELS), built(latent, LABELS))
    for layer in built.layers:
        torch.nn.init.zeros_(layer.noise_size)
    assert torch.equal(built(latent, LABELS), built(latent, LABELS))


def test_mapping_weights_learn_at_their_own_rate() -> None:
    outputs = {}
    for rate in (1.0, 0.1):
        torch.manual_seed(0)
        layer = stylegan.MappingLayer(8, rate)
        given = torch.randn(5, 8, generator=torch.Generator().manual_seed(1))
        before = layer(given)
        with torch.no_grad():
            layer.weight.add_(0.01)  # a step of Adam has the same size whatever the gradient's
        outputs[rate] = ((layer(given) - before).abs().mean().item(), before)
    assert torch.allclose(outputs[1.0][1], outputs[0.1][1], atol=1e-5)
    assert outputs[0.1][0] == pytest.approx(0.1 * outputs[1.0][0], rel=0.1)


def test_the_picture_of_mixing_shares_coarse_styles_along_rows() -> None:
    built = generator()
    given = styles_reaching_layers(built, lambda: built.pictures(LABELS, seed=0, truncation=1.0))
    reached = given.unflatten(0, (8, 8))
    assert torch.equal(reached[:, :, :2], reached[:, :1, :2].expand(-1, 8, -1, -1))
    assert torch.equal(reached[:, :, 2:], reached[:1, :, 2:].expand(8, -1, -1, -1))


def test_pictures_of_no_style_but_the_mean_are_alike() -> None:
    built = generator()
    for layer in built.layers:
        torch.nn.init.zeros_(layer.noise_size)
    pictures = built.pictures(LABELS, seed=0, truncation=0.0)
    assert "style_mixing" in pictures
    for name, picture in pictures.items():
        assert np.ptp(picture.images.astype(int), axis=0).max() <= 1, name
