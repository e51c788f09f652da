"""The alternating loop: who moves when, what the average is, what the curves mean, that seeds decide all."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.parametrizations import _SpectralNorm

from stages.adversarial import optimizers
from stages.adversarial.batches import Batches
from stages.adversarial.engine import Engine
from stages.adversarial.game import Game, Losses
from stages.adversarial.network import ImageShape
from stages.adversarial.parts import build_parts
from stages.settings.params import RMSprop, Variant, load

SHAPE = (1, 28, 28)


def variant(**changes: Any) -> Variant:
    return load().variants["dcgan"].model_copy(update={"batch_size": 4} | changes)


def engine(chosen: Variant, seed: int = 0, kind: type[Game] = Game) -> Engine:
    torch.manual_seed(seed)
    parts = build_parts("dcgan", chosen)
    game = kind(rules=parts.pop("game"), **parts, image_shape=SHAPE, classes=10)
    images = torch.randint(0, 256, (16, *SHAPE), dtype=torch.uint8)
    return Engine(game, Batches(images, torch.arange(16) % 10, chosen.batch_size), chosen)


class Spy(Game):
    """Writes down what the engine asks for, and that nobody's gradients leak."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.calls: list[Any] = []

    def begin(self, progress: float) -> None:
        self.calls.append(("begin", progress))

    def discriminator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        before = [parameter.detach().clone() for parameter in self.generator.parameters()]
        losses = super().discriminator_loss(real, labels)
        gradients = torch.autograd.grad(
            losses.loss, list(self.generator.parameters()), retain_graph=True, allow_unused=True
        )
        assert all(gradient is None for gradient in gradients), "fakes are not detached"
        assert all(torch.equal(old, new) for old, new in zip(before, self.generator.parameters(), strict=True))
        self.calls.append("discriminator")
        return losses

    def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
        assert not any(parameter.requires_grad for parameter in self.discriminator.parameters())
        self.calls.append("generator")
        return super().generator_loss(real, labels)

    def after_discriminator_step(self) -> None:
        self.calls.append("after")


def test_critic_steps_come_before_each_generator_step() -> None:
    playing = engine(variant(critic_steps=2), kind=Spy)
    assert list(playing.play(8)) == [4, 8]
    turn = ["discriminator", "after", "discriminator", "after", "generator"]
    assert playing.game.calls == [("begin", 0.0), *turn, ("begin", 0.5), *turn]


def test_the_last_step_is_whole() -> None:
    assert list(engine(variant()).play(9)) == [4, 8, 12]


def test_average_follows_by_its_half_life() -> None:
    playing = engine(variant(ema_halflife_images=4, ema_rampup=None))  # one batch: half the way each step
    before = copy.deepcopy(playing.average.state_dict())
    playing.step()
    after = playing.game.generator.state_dict()
    for key, averaged in playing.average.state_dict().items():
        if averaged.is_floating_point():
            assert torch.allclose(averaged, (before[key] + after[key]) / 2, atol=1e-6), key
        else:
            assert torch.equal(averaged, after[key]), key


def test_same_seed_same_bits_and_another_seed_others() -> None:
    weights = {}
    for attempt, seed in {"first": 0, "again": 0, "other": 1}.items():
        playing = engine(variant(), seed)
        list(playing.play(12))
        weights[attempt] = torch.cat([value.flatten() for value in playing.average.parameters()])
    assert torch.equal(weights["first"], weights["again"])
    assert not torch.equal(weights["first"], weights["other"])


def test_watching_does_not_change_the_result() -> None:
    weights = []
    for watch in (False, True):
        playing = engine(variant())
        for _ in playing.play(12):
            if watch:
                playing.read_scalars()
                playing.average.sample(torch.zeros(3, dtype=torch.int64), seed=5)
        weights.append(torch.cat([value.flatten() for value in playing.average.parameters()]))
    assert torch.equal(*weights)


def test_scalars_are_means_since_the_last_reading() -> None:
    class Counting(Game):
        count = 0.0

        def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
            self.count += 1
            losses = super().generator_loss(real, labels)
            return Losses(losses.loss, {"count": torch.tensor(self.count)})

    playing = engine(variant(), kind=Counting)
    for _ in range(3):
        playing.step()
    assert playing.read_scalars()["count"] == 2  # mean of 1, 2, 3
    playing.step()
    assert playing.read_scalars()["count"] == 4
    assert playing.read_scalars() == {}


def test_early_on_the_average_forgets_soon() -> None:
    playing = engine(variant(ema_halflife_images=10**9, ema_rampup=1.0))
    playing.step()  # one batch seen, so the half-life is one batch: half the way
    latest = torch.cat([value.flatten() for value in playing.game.generator.parameters()])
    averaged = torch.cat([value.flatten() for value in playing.average.parameters()])
    torch.manual_seed(0)
    first = torch.cat([value.flatten() for value in engine(variant()).game.generator.parameters()])
    assert torch.allclose(averaged, (first + latest) / 2, atol=1e-6)


def test_buffers_that_are_no_batch_statistics_are_copied() -> None:
    class Growing(Game):
        def set_up(self, image_shape: ImageShape) -> None:
            self.generator.register_buffer("alpha", torch.zeros(()))

    playing = engine(variant(), kind=Growing)
    playing.game.generator.alpha.fill_(0.7)  # type: ignore[operator]
    playing.step()
    assert playing.average.alpha == playing.game.generator.alpha


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_that_of_the_layers_and_not_of_the_weights(precision: str) -> None:
    playing = engine(variant(precision=precision))
    seen, judged = set(), []
    for module in playing.game.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _module, _arguments, output: seen.add(output.dtype))
    playing.game.discriminator.register_forward_pre_hook(lambda _module, arguments: judged.append(arguments[0].dtype))
    playing.step()
    assert seen == {getattr(torch, precision)}
    assert len(judged) >= 3  # by the discriminator's step real images and fakes, by the generator's fakes
    assert set(judged) == {torch.float32}
    assert {parameter.dtype for parameter in playing.game.parameters()} == {torch.float32}
    assert all(value == value for value in playing.read_scalars().values())


def test_the_memory_format_is_that_of_weights_and_feature_maps_and_changes_no_loss() -> None:
    losses = []
    for name in ("channels_last", "contiguous_format"):
        playing = engine(variant(memory_format=name))
        strides: list[int] = []
        for module in playing.game.modules():
            if isinstance(module, torch.nn.Conv2d) and module.in_channels > 1:  # of one channel both are the same
                assert module.weight.is_contiguous(memory_format=getattr(torch, name))
                module.register_forward_hook(lambda _m, _i, output, strides=strides: strides.append(output.stride(1)))
        playing.step()
        assert strides
        assert all((stride == 1) == (name == "channels_last") for stride in strides)
        losses.append(playing.read_scalars())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4, abs=1e-6)


def test_learning_rates_fall_linearly_to_zero_over_the_last_share() -> None:
    playing = engine(variant(learning_rate_decay_from=0.5))
    rates: list[float] = []
    for _ in playing.play(4 * 8):
        pairs = zip((playing.generator_optimizer, playing.discriminator_optimizer), playing.learning_rates, strict=True)
        shares = {round(optimizer.learning_rate / rate, 6) for optimizer, rate in pairs}
        assert len(shares) == 1
        rates += shares
    assert rates == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_the_generators_gradient_is_its_norm_over_all_weights() -> None:
    playing = engine(variant())
    playing.step()
    gradients = [weight.grad.flatten() for weight in playing.game.generator.parameters() if weight.grad is not None]
    assert playing.read_scalars()["generator_gradient"] == pytest.approx(torch.cat(gradients).norm().item(), rel=1e-5)


def test_each_player_has_its_own_optimizer() -> None:
    options = RMSprop(name="rmsprop", learning_rate=0.01, smoothing=0.9)
    playing = engine(variant(generator_optimizer=options))
    assert isinstance(playing.generator_optimizer, optimizers.RMSprop)
    assert playing.generator_optimizer.weights == list(playing.game.generator.parameters())
    assert isinstance(playing.discriminator_optimizer, optimizers.Adam)
    assert playing.discriminator_optimizer.weights == list(playing.game.discriminator.parameters())


def test_spectral_norms_are_taken_once_a_loss() -> None:
    """One power iteration an update (Miyato et al., 2018, algorithm 1), not one for each batch judged."""
    network = variant().network.model_copy(update={"discriminator_norm": "spectral"})
    playing = engine(variant(network=network))
    taken: list[str] = []
    for name, module in playing.game.discriminator.named_modules():
        if isinstance(module, _SpectralNorm):
            module.register_forward_hook(lambda *_, name=name: taken.append(name))
    playing.step()
    assert sorted(Counter(taken).values()) == [2, 2, 2, 2]  # four layers, one loss of each player


def test_a_generator_learns_a_data_set_of_one_image() -> None:
    """The whole loop pulls in the right direction: samples approach the only image there is."""
    chosen = variant(batch_size=16, ema_halflife_images=64)
    playing = engine(chosen)
    target = torch.full(SHAPE, -1.0)
    target[:, 8:20, 8:20] = 1.0
    playing.batches.images = ((target + 1) * 127.5).to(torch.uint8).expand(64, *SHAPE).contiguous()
    playing.batches.labels = torch.zeros(64, dtype=torch.int64)
    labels = torch.zeros(16, dtype=torch.int64)
    before = (playing.average.sample(labels, seed=0) - target).abs().mean().item()
    list(playing.play(16 * 150))
    after = (playing.average.sample(labels, seed=0) - target).abs().mean().item()
    assert after < before / 3
