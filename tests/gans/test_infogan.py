"""Codes that the discriminator reads off images: losses by hand, and what pictures of them show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor
from torch.nn.functional import one_hot

from tests.builders import PARAMS, build_gan, real_batch


def build(**options: Any) -> Any:
    return build_gan("infogan", gan=options)


def test_the_codes_read_are_those_that_the_fakes_were_made_from() -> None:
    gan = build(category_weight=2.0, code_weight=3.0)
    gan.train()
    fakes = gan.generate(torch.zeros(6, dtype=torch.int64))
    categories, codes = fakes.latent[:, -12:-2], fakes.latent[:, -2:]
    outputs = torch.randn(6, 13)
    auxiliary = gan.generator_auxiliary_losses(outputs, fakes, torch.zeros(6))
    chosen = log_softmax(outputs[:, 1:11].numpy(), axis=1)[np.arange(6), categories.argmax(dim=1).numpy()]
    assert auxiliary["generator_category_loss"].item() == pytest.approx(-2 * chosen.mean(), rel=1e-4)
    squares = 3 * ((outputs[:, 11:] - codes) ** 2).mean()
    assert auxiliary["generator_code_loss"].item() == pytest.approx(squares.item(), rel=1e-4)
    perfect = torch.cat([torch.zeros(6, 1), categories * 50, codes], dim=1)
    assert sum(gan.discriminator_auxiliary_losses(perfect, perfect, fakes, torch.zeros(6)).values()) < 1e-4


def test_the_discriminator_reads_codes_off_fakes() -> None:
    gan, (real, labels) = build().train(), real_batch(6)
    gan.reuse_fakes = True
    losses = gan.discriminator_loss(real, labels)
    fakes = gan._last_fakes
    read = gan.generator_auxiliary_losses(gan.discriminate(fakes.images, labels), fakes, labels)
    assert losses.scalars["code_loss"].item() == pytest.approx(read["generator_code_loss"].item(), rel=1e-4)
    assert losses.scalars["category_loss"].item() == pytest.approx(read["generator_category_loss"].item(), rel=1e-4)


def test_a_map_reads_the_codes_in_the_mean_of_its_places() -> None:
    gan = build()
    fakes = gan.train().generate(torch.zeros(6, dtype=torch.int64))
    outputs = torch.randn(6, 13, 2, 5)
    of_map = gan.generator_auxiliary_losses(outputs, fakes, torch.zeros(6))
    of_mean = gan.generator_auxiliary_losses(outputs.mean(dim=(2, 3)), fakes, torch.zeros(6))
    assert of_map == {name: pytest.approx(loss.item(), rel=1e-5) for name, loss in of_mean.items()}
    whole = build_gan("infogan", network=PARAMS.variants["conv"].components()["network"].model_dump())
    real, labels = real_batch(4)
    losses = whole.train().discriminator_loss(real, labels)
    assert losses.loss.isfinite()
    assert {"category_loss", "code_loss"} < set(losses.scalars)


def test_categories_are_random_in_training_and_asked_for_in_samples() -> None:
    generator = build().generator
    labels = torch.full((4000,), 3)
    generator.train()
    drawn = generator.latent(labels)
    counts = drawn[:, -12:-2].sum(dim=0)
    assert (counts - 400).abs().max() < 100  # the data's labels do not leak
    codes = drawn[:, -2:]  # uniform in [-1, 1]
    assert codes.abs().max() <= 1
    assert codes.mean().item() == pytest.approx(0, abs=0.05)
    assert codes.var().item() == pytest.approx(1 / 3, abs=0.02)
    generator.eval()
    assert torch.equal(generator.latent(labels)[:, -12:-2], one_hot(labels, 10).float())


def test_a_sweep_changes_its_code_and_nothing_else() -> None:
    generator = build().generator
    latents: list[Tensor] = []
    generator.inner.register_forward_hook(lambda _module, given, _out: latents.append(given[0]))
    pictures = generator.pictures(torch.arange(10), seed=0, truncation=1.0)
    assert list(pictures) == ["interpolations", "sweep_category", "sweep_code_1", "sweep_code_2"]
    category, first, second, mixed = (latent.unflatten(0, (10, 10)) for latent in latents)
    assert torch.equal(mixed[:, :, 64:], mixed[:, :1, 64:].expand(-1, 10, -1))  # a path keeps its codes
    assert mixed[:, 0, :64].ne(mixed[:, -1, :64]).all()
    noise = slice(0, 64)
    for swept in (category, first, second):
        assert torch.equal(swept[:, :, noise], swept[:, :1, noise].expand(-1, 10, -1))
    assert torch.equal(category[0, :, 64:74], torch.eye(10))
    assert torch.allclose(first[4, :, 74], torch.linspace(-1, 1, 10))
    assert torch.equal(first[:, :, 75], first[:, :1, 75].expand(-1, 10))
    assert torch.allclose(second[4, :, 75], torch.linspace(-1, 1, 10))


def test_sweeps_truncate_noise_and_no_code() -> None:
    generator = build().generator
    latents: list[Tensor] = []
    generator.inner.register_forward_hook(lambda _module, given, _out: latents.append(given[0]))
    for truncation in (1.0, 0.5):
        generator.pictures(torch.arange(10), seed=0, truncation=truncation)
    assert len(latents) == 8
    for whole, truncated in zip(latents[:4], latents[4:], strict=True):
        assert torch.equal(truncated, torch.cat([whole[:, :64] * 0.5, whole[:, 64:]], dim=1))


def test_a_discriminator_that_learns_to_read_codes_pulls_the_generator_along() -> None:
    gan = build()
    gan.train()
    fakes = gan.generate(torch.zeros(8, dtype=torch.int64))
    outputs = gan.discriminate(fakes.images, torch.zeros(8, dtype=torch.int64))
    sum(gan.generator_auxiliary_losses(outputs, fakes, torch.zeros(8)).values(), torch.zeros(())).backward()
    start = next(gan.generator.parameters())
    assert start.grad is not None
    assert start.grad.abs().max() > 0


def test_codes_follow_the_latents_and_are_not_truncated() -> None:
    generator = build().generator.eval()
    assert generator.latent(torch.arange(3)).shape == (3, 64 + 10 + 2)
    seen: list[Tensor] = []
    generator.inner.register_forward_hook(lambda _module, given, _out: seen.append(given[0]))
    for truncation in (1.0, 0.5):
        generator.sample(torch.arange(6), seed=0, truncation=truncation)
    assert torch.equal(seen[1][:, :64], seen[0][:, :64] / 2)
    assert torch.equal(seen[1][:, 64:], seen[0][:, 64:])
