"""The standard game: what each loss is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stages.adversarial.game import Game
from stages.adversarial.parts import build_part, build_parts
from stages.games.began import EquilibriumGame
from stages.settings.errors import ParameterError
from stages.settings.params import PartChoice, load

SHAPE = (1, 28, 28)


def game(name: str = "cgan", **parts: dict[str, Any]) -> Game:
    torch.manual_seed(0)
    built = build_parts(name, load().variants[name])
    built |= {role: build_part(role, PartChoice(**choice), "test") for role, choice in parts.items()}
    rules = built.pop("game")
    return rules.build(**built, image_shape=SHAPE, classes=10)


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, *SHAPE, generator=generator) * 2 - 1, torch.arange(count) % 10


def test_the_loss_is_the_objectives_and_the_penalty() -> None:
    losses = game(regularizer={"name": "r1", "weight": 5.0, "interval": 1}).discriminator_loss(*batch())
    scalars = losses.scalars
    assert scalars["penalty"] > 0
    assert losses.loss.item() == pytest.approx((scalars["discriminator_loss"] + scalars["penalty"]).item())


def test_the_penalty_is_taken_in_due_rounds_only() -> None:
    playing = game(regularizer={"name": "r1", "weight": 5.0, "interval": 3})
    taken = [playing.discriminator_loss(*batch()).scalars["penalty"].item() > 0 for _ in range(6)]
    assert taken == [True, False, False, True, False, False]


def test_fakes_are_asked_for_and_judged_by_the_batchs_labels() -> None:
    playing = game()
    asked: dict[str, list[Tensor]] = {"generator": [], "discriminator": []}
    for player, seen in asked.items():
        module = getattr(playing, player)
        module.register_forward_hook(lambda _module, arguments, _output, seen=seen: seen.append(arguments[1]))
    images, labels = batch()
    playing.discriminator_loss(images, labels)
    playing.generator_loss(images, labels)
    assert len(asked["generator"]) == 2
    assert len(asked["discriminator"]) == 3  # real, fake, in a round with penalty; fake
    assert all(torch.equal(seen, labels) for calls in asked.values() for seen in calls)
    asked["discriminator"].clear()
    playing.discriminator_loss(images, labels)
    (both,) = asked["discriminator"]  # at once, in a round without
    assert torch.equal(both, torch.cat([labels, labels]))


@pytest.mark.parametrize("name", ["mlp", "dcgan", "cgan", "acgan", "infogan", "began", "cyclegan"])
def test_judging_real_and_fake_images_at_once_changes_nothing(name: str) -> None:
    found = []
    for at_once in (True, False):
        playing = game(name, regularizer={"name": "none"})
        assert playing.judges_one_by_one
        playing.judges_one_by_one = at_once
        if isinstance(playing, EquilibriumGame):
            playing.k.fill_(0.5)  # at 0 fakes do not count
        images, labels = batch(8)
        images = torch.cat([images, images.flip(0)], dim=1) if name == "cyclegan" else images
        playing.discriminator_loss(images, labels).loss.backward()
        found.append([weight.grad for weight in playing.discriminator.parameters()])
    for together, apart in zip(*found, strict=True):
        torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_each_step_draws_new_fakes() -> None:
    playing = game("dcgan")
    drawn: list[Tensor] = []
    playing.generator.register_forward_hook(lambda _module, _arguments, output: drawn.append(output))
    playing.discriminator_loss(*batch())
    playing.generator_loss(*batch())
    assert not torch.allclose(drawn[0], drawn[1])


STANDARD = {"name": "standard", "generator_fakes": "fresh", "instance_noise": 0.0, "instance_noise_until": 1.0}


def test_reused_fakes_are_judged_again_with_their_gradient() -> None:
    playing = game("dcgan", game=STANDARD | {"generator_fakes": "reused"})
    drawn: list[Tensor] = []
    judged: list[Tensor] = []
    playing.generator.register_forward_hook(lambda _module, _arguments, output: drawn.append(output))
    playing.discriminator.register_forward_hook(lambda _module, arguments, _output: judged.append(arguments[0]))
    playing.discriminator_loss(*batch()).loss.backward()
    assert all(weight.grad is None for weight in playing.generator.parameters())
    playing.generator_loss(*batch()).loss.backward()
    assert len(drawn) == 1
    assert torch.equal(judged[1], judged[2])
    assert all(weight.grad is not None for weight in playing.generator.parameters())


def test_instance_noise_reaches_real_and_fake_and_fades() -> None:
    playing = game("dcgan", game=STANDARD | {"instance_noise": 0.5, "instance_noise_until": 0.5})
    judged: list[Tensor] = []
    playing.discriminator.register_forward_hook(lambda _module, arguments, _output: judged.append(arguments[0]))
    images, labels = batch(64)
    sizes = []
    for progress in (0.0, 0.25, 0.5, 0.9):
        playing.begin(progress)
        judged.clear()
        playing.discriminator_loss(images, labels)
        sizes.append((judged[0][:64] - images).std().item())
    assert sizes == pytest.approx([0.5, 0.25, 0.0, 0.0], rel=0.02)
    playing.begin(0.0)
    judged.clear()
    playing.generator_loss(images, labels)
    assert judged[0].abs().max() > 1.5  # a generator's images stay within 1


def test_a_logit_of_strided_convolutions_sees_the_whole_image_and_one_of_conv_does_not() -> None:
    assert game("dcgan").receptive_field(SHAPE) == (28, 28)
    assert game("mlp").receptive_field(SHAPE) == (28, 28)
    assert game("conv").receptive_field(SHAPE) == (5, 5)
    network = load().variants["conv"].network.model_dump()
    assert game("conv", network=network | {"discriminator_strides": [2]}).receptive_field(SHAPE) == (7, 7)
    assert game("conv", network=network | {"discriminator_strides": [1, 1]}).receptive_field(SHAPE) == (7, 7)
    # 3 + 2 · (2 + 4 + 8) = 31 pixels, cut at the image's border
    assert min(game("conv", network=network | {"discriminator_strides": [2, 2, 2]}).receptive_field(SHAPE)) >= 24


@pytest.mark.parametrize(
    ("name", "parts", "message"),
    [
        (
            "dcgan",
            {"regularizer": {"name": "weight_clip", "limit": 0.01}},
            "weight_clip does not fit objective non_sat",
        ),
        ("dcgan", {"network": {"labels": "generator"}}, "must show labels to both players or to none"),
        ("acgan", {"network": {"labels": "none"}}, "game acgan asks for labels: network dcgan must show them"),
        ("acgan", {"network": {"labels": "both"}}, "not to the discriminator"),
        ("infogan", {"network": {"labels": "both"}}, "must not see any"),
        ("progan", {"game": STANDARD}, "network progan (growing) does not fit game standard, which plays plain"),
        ("cyclegan", {"game": STANDARD}, "(translating) does not fit game standard"),
        ("began", {"objective": {"name": "hinge"}}, "game began does not fit objective hinge; expected wasserstein"),
    ],
)
def test_parts_that_cannot_play_together_are_named_in_one_line(name: str, parts: dict[str, Any], message: str) -> None:
    variant = load().variants[name]
    choices = {
        role: PartChoice(**(options if "name" in options else getattr(variant, role).model_dump() | options))
        for role, options in parts.items()
    }
    with pytest.raises(ParameterError) as error:
        build_parts(name, variant.model_copy(update=choices))
    assert str(error.value).startswith(f"params.yaml: variants.{name}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
