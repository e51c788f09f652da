"""Games with more outputs than a logit: the classes of acgan, the codes of infogan."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from stages.adversarial.game import Fakes, Game
from stages.adversarial.parts import build_parts
from stages.games import infogan
from stages.settings.params import load

SHAPE = (1, 28, 28)


def build(name: str, **changes: Any) -> Game:
    torch.manual_seed(0)
    parts = build_parts(name, load().variants[name])
    rules = parts.pop("game").model_copy(update=changes)
    return rules.build(**parts, image_shape=SHAPE, classes=10)


def log_share(outputs: Tensor, chosen: Tensor) -> Tensor:
    """Mean log of the softmax probability of what was chosen, written out."""
    exponentials = outputs.exp()
    probabilities = exponentials / exponentials.sum(dim=1, keepdim=True)
    return torch.stack([row[index] for row, index in zip(probabilities, chosen, strict=True)]).log().mean()


def test_acgan_adds_the_classes_cross_entropy_to_both_losses() -> None:
    game = build("acgan", class_weight=2.0, fake_class_share=0.5)
    real, labels = torch.rand(6, *SHAPE) * 2 - 1, torch.tensor([0, 1, 2, 9, 9, 4])
    fakes = game.generate(labels)
    outputs = game.judge(fakes.images, labels), game.judge(real, labels)
    assert outputs[0].shape == (6, 11)
    assert torch.equal(game.logits(outputs[0]), outputs[0][:, :1])
    extras = game.discriminator_extras(outputs[1], outputs[0], fakes, labels)
    assert extras["real_class_loss"].item() == pytest.approx(-2 * log_share(outputs[1][:, 1:], labels).item(), rel=1e-4)
    fake_loss = -log_share(outputs[0][:, 1:], labels)
    assert extras["fake_class_loss"].item() == pytest.approx(fake_loss.item(), rel=1e-4)
    (generators,) = game.generator_extras(outputs[0], fakes, labels).values()
    assert generators.item() == pytest.approx(2 * fake_loss.item(), rel=1e-4)
    losses = game.generator_loss(real, labels)
    assert losses.loss.item() == pytest.approx(sum(value.item() for value in losses.scalars.values()), rel=1e-5)


def test_infogan_reads_the_codes_that_the_fakes_were_made_from() -> None:
    game = build("infogan", category_weight=2.0, code_weight=3.0)
    game.train()
    fakes = game.generate(torch.zeros(6, dtype=torch.int64))
    categories, codes = fakes.latent[:, -12:-2], fakes.latent[:, -2:]
    outputs = torch.randn(6, 13)
    extras = game.generator_extras(outputs, fakes, torch.zeros(6))
    expected = -2 * log_share(outputs[:, 1:11], categories.argmax(dim=1))
    assert extras["generator_category_loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    squares = 3 * ((outputs[:, 11:] - codes) ** 2).mean()
    assert extras["generator_code_loss"].item() == pytest.approx(squares.item(), rel=1e-4)
    perfect = torch.cat([torch.zeros(6, 1), categories * 50, codes], dim=1)
    assert sum(game.discriminator_extras(perfect, perfect, fakes, torch.zeros(6)).values()) < 1e-4


def test_infogans_categories_are_random_in_training_and_asked_for_in_samples() -> None:
    game = build("infogan")
    generator: Any = game.generator
    labels = torch.full((4000,), 3)
    generator.train()
    drawn = generator.latent(labels)
    counts = drawn[:, -12:-2].sum(dim=0)
    assert (counts - 400).abs().max() < 100  # the data's labels do not leak
    assert drawn[:, -2:].abs().max() <= 1
    generator.eval()
    assert torch.equal(generator.latent(labels)[:, -12:-2], one_hot(labels, 10).float())


def test_a_sweep_changes_its_code_and_nothing_else() -> None:
    game = build("infogan")
    generator: Any = game.generator
    latents: list[Tensor] = []
    generator.inner.register_forward_hook(lambda _module, given, _out: latents.append(given[0]))
    pictures = generator.pictures(seed=0)
    assert list(pictures) == ["sweep_category", "sweep_code_1", "sweep_code_2"]
    category, first, second = (latent.unflatten(0, (10, 10)) for latent in latents)
    noise = slice(0, 64)
    for swept in (category, first, second):
        assert torch.equal(swept[:, :, noise], swept[:, :1, noise].expand(-1, 10, -1))
    assert torch.equal(category[0, :, 64:74], torch.eye(10))
    assert torch.allclose(first[4, :, 74], torch.linspace(-1, 1, 10))
    assert torch.equal(first[:, :, 75], second[:, :1, 75].expand(-1, 10) * 0 + first[:, :1, 75])
    assert torch.allclose(second[4, :, 75], torch.linspace(-1, 1, 10))


def test_a_discriminator_that_learns_to_read_codes_pulls_the_generator_along() -> None:
    game = build("infogan")
    game.train()
    fakes: Fakes = game.generate(torch.zeros(8, dtype=torch.int64))
    outputs = game.judge(fakes.images, torch.zeros(8, dtype=torch.int64))
    sum(game.generator_extras(outputs, fakes, torch.zeros(8)).values(), torch.zeros(())).backward()
    start = next(game.generator.parameters())
    assert start.grad is not None
    assert start.grad.abs().max() > 0


def test_infogan_has_room_for_its_codes_beside_the_networks_latents() -> None:
    generator = build("infogan").generator
    assert isinstance(generator, infogan.CodedGenerator)
    assert generator.latent(torch.arange(3)).shape == (3, 64 + 10 + 2)
