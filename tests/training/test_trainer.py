"""The alternating loop: who moves when, what the average is, what the curves mean, that seeds decide all."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.parametrizations import _SpectralNorm

from stages.config.params import Optimizers, RMSprop
from stages.contracts.gan import GAN, Losses
from stages.contracts.generator import ImageShape
from stages.training import optimizers
from stages.training.trainer import Trainer
from tests.builders import PARAMS, SHAPE, build_gan, build_trainer, hyperparameters


def build(kind: type[GAN] = GAN, seed: int = 0, network: dict[str, Any] | None = None, **changes: Any) -> Trainer:
    """A trainer of dcgan; `kind` takes the place of its GAN class."""
    return build_trainer("dcgan", build_gan("dcgan", module=kind, network=network or {}), seed=seed, **changes)


class Spy(GAN):
    """Writes down what the trainer asks for, and that nobody's gradients leak."""

    def __init__(self, *parts: Any, **others: Any) -> None:
        super().__init__(*parts, **others)
        self.calls: list[Any] = []

    def on_step_start(self, progress: float) -> None:
        self.calls.append(("start", progress))

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


@pytest.mark.parametrize("reuse", [False, True])
def test_fakes_of_the_last_critic_step_alone_are_reused(reuse: bool) -> None:
    trainer = build(critic_steps=3, reuse_fakes=reuse)
    drawn: list[bool] = []
    trainer.gan.generator.register_forward_hook(lambda *_: drawn.append(torch.is_grad_enabled()))
    trainer.step()
    # without gradients in the discriminator's steps, with them where the generator will learn from these fakes
    assert drawn == ([False, False, True] if reuse else [False, False, False, True])


def test_critic_steps_come_before_each_generator_step() -> None:
    trainer = build(Spy, critic_steps=2)
    assert list(trainer.train(8)) == [4, 8]
    turn = ["discriminator", "after", "discriminator", "after", "generator"]
    assert trainer.gan.calls == [("start", 0.0), *turn, ("start", 0.5), *turn]


def test_each_critic_step_has_a_batch_of_its_own() -> None:
    trainer, seen = build(critic_steps=3), []
    loss = trainer.gan.discriminator_loss

    def watch(real: Tensor, labels: Tensor) -> Losses:
        seen.append(real)
        return loss(real, labels)

    trainer.gan.discriminator_loss = watch  # type: ignore[method-assign]
    trainer.step()
    assert len(torch.cat(seen).unique(dim=0)) == 3 * 4


def test_each_network_keeps_its_own_learning_rate() -> None:
    rates = PARAMS.variants["wgan"].optimizers
    trainer = build_trainer("wgan")
    trainer.follow_schedules(0.0)
    found = [one.param_groups[0]["lr"] for one in (trainer.generator_optimizer, trainer.discriminator_optimizer)]
    assert found == [rates.generator.learning_rate, rates.discriminator.learning_rate]
    assert found[0] != found[1]


def test_instance_noise_fades_along_a_training() -> None:
    trainer = build(noise_std=0.4, noise_until=0.5)
    assert [trainer.gan.noise_std for _ in trainer.train(16)] == pytest.approx([0.4, 0.2, 0, 0])


def test_the_last_step_is_whole() -> None:
    assert list(build().train(9)) == [4, 8, 12]


def test_average_follows_by_its_half_life() -> None:
    trainer = build(ema_halflife_images=4, ema_rampup=None)  # one batch: half the way each step
    before = copy.deepcopy(trainer.ema.module.state_dict())
    trainer.step()
    after = trainer.gan.generator.state_dict()
    for key, averaged in trainer.ema.module.state_dict().items():
        if averaged.is_floating_point():
            assert torch.allclose(averaged, (before[key] + after[key]) / 2, atol=1e-6), key
        else:
            assert torch.equal(averaged, after[key]), key


def test_same_seed_same_bits_and_another_seed_others() -> None:
    weights = {}
    for attempt, seed in {"first": 0, "again": 0, "other": 1}.items():
        trainer = build(seed=seed)
        list(trainer.train(12))
        weights[attempt] = torch.cat([value.flatten() for value in trainer.ema.module.parameters()])
    assert torch.equal(weights["first"], weights["again"])
    assert not torch.equal(weights["first"], weights["other"])


def test_watching_does_not_change_the_result() -> None:
    weights = []
    for watch in (False, True):
        trainer = build()
        for _ in trainer.train(12):
            if watch:
                trainer.read_scalars()
                trainer.ema.module.sample(torch.zeros(3, dtype=torch.int64), seed=5)
        weights.append(torch.cat([value.flatten() for value in trainer.ema.module.parameters()]))
    assert torch.equal(*weights)


def test_scalars_are_means_since_the_last_reading() -> None:
    class Counting(GAN):
        count = 0.0

        def generator_loss(self, real: Tensor, labels: Tensor) -> Losses:
            self.count += 1
            losses = super().generator_loss(real, labels)
            return Losses(losses.loss, {"count": torch.tensor(self.count)})

    trainer = build(Counting)
    for _ in range(3):
        trainer.step()
    assert trainer.read_scalars()["count"] == 2  # mean of 1, 2, 3
    trainer.step()
    assert trainer.read_scalars()["count"] == 4
    assert trainer.read_scalars() == {}


def test_early_on_the_average_forgets_soon() -> None:
    trainer = build(ema_halflife_images=10**9, ema_rampup=1.0)
    trainer.step()  # one batch seen, so the half-life is one batch: half the way
    latest = torch.cat([value.flatten() for value in trainer.gan.generator.parameters()])
    averaged = torch.cat([value.flatten() for value in trainer.ema.module.parameters()])
    torch.manual_seed(0)
    first = torch.cat([value.flatten() for value in build().gan.generator.parameters()])
    assert torch.allclose(averaged, (first + latest) / 2, atol=1e-6)


def test_buffers_that_are_no_batch_statistics_are_copied() -> None:
    class Growing(GAN):
        def build_buffers(self, image_shape: ImageShape) -> None:
            self.generator.register_buffer("alpha", torch.zeros(()))

    trainer = build(Growing)
    trainer.gan.generator.alpha.fill_(0.7)  # type: ignore[operator]
    trainer.step()
    assert trainer.ema.module.alpha == trainer.gan.generator.alpha


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_that_of_the_layers_and_not_of_the_weights(precision: str) -> None:
    trainer = build(precision=precision)
    seen, given = set(), []
    for module in trainer.gan.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _module, _arguments, output: seen.add(output.dtype))
    trainer.gan.discriminator.register_forward_pre_hook(lambda _module, arguments: given.append(arguments[0].dtype))
    trainer.step()
    assert seen == {getattr(torch, precision)}
    assert len(given) >= 3  # by the discriminator's step real images and fakes, by the generator's fakes
    assert set(given) == {torch.float32}
    assert {parameter.dtype for parameter in trainer.gan.parameters()} == {torch.float32}
    assert all(value == value for value in trainer.read_scalars().values())


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_the_memory_format_is_that_of_weights_and_feature_maps(memory_format: torch.memory_format) -> None:
    gan = build_gan("dcgan")
    gan.memory_format = memory_format
    trainer = build_trainer("dcgan", gan)
    strides: list[int] = []
    for module in trainer.gan.modules():
        if isinstance(module, torch.nn.Conv2d) and module.in_channels > 1:  # of one channel both are the same
            assert module.weight.is_contiguous(memory_format=memory_format)
            module.register_forward_hook(lambda _m, _i, output: strides.append(output.stride(1)))
    trainer.step()
    assert strides
    assert all((stride == 1) == (memory_format == torch.channels_last) for stride in strides)


def test_learning_rates_fall_linearly_to_zero_over_the_last_share() -> None:
    trainer = build(learning_rate_decay_from=0.5)
    rates: list[float] = []
    for _ in trainer.train(4 * 8):
        optimizers_ = (trainer.generator_optimizer, trainer.discriminator_optimizer)
        chosen = trainer.hyperparameters.optimizers
        options = (chosen.generator, chosen.discriminator)
        pairs = zip(optimizers_, options, strict=True)
        shares = {round(optimizer.param_groups[0]["lr"] / option.learning_rate, 6) for optimizer, option in pairs}
        assert len(shares) == 1
        rates += shares
    assert rates == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_the_generators_gradient_is_its_norm_over_all_weights() -> None:
    trainer = build()
    trainer.step()
    gradients = [weight.grad.flatten() for weight in trainer.gan.generator.parameters() if weight.grad is not None]
    assert trainer.read_scalars()["generator_gradient"] == pytest.approx(torch.cat(gradients).norm().item(), rel=1e-5)


def test_each_network_has_its_own_optimizer() -> None:
    generator = RMSprop(name="rmsprop", learning_rate=0.01, alpha=0.9)
    discriminator = hyperparameters("dcgan").optimizers.discriminator
    trainer = build(optimizers=Optimizers(generator=generator, discriminator=discriminator))
    assert isinstance(trainer.generator_optimizer, optimizers.RMSprop)
    assert trainer.generator_optimizer.weights == list(trainer.gan.generator.parameters())
    assert isinstance(trainer.discriminator_optimizer, optimizers.Adam)
    assert trainer.discriminator_optimizer.weights == list(trainer.gan.discriminator.parameters())


def test_spectral_norms_are_taken_once_a_loss() -> None:
    """One power iteration an update (Miyato et al., 2018, algorithm 1), not one for each batch."""
    trainer = build(network={"discriminator_norm": "spectral"})
    taken: list[str] = []
    for name, module in trainer.gan.discriminator.named_modules():
        if isinstance(module, _SpectralNorm):
            module.register_forward_hook(lambda *_, name=name: taken.append(name))
    trainer.step()
    assert sorted(Counter(taken).values()) == [2, 2, 2, 2]  # four layers, one loss of each network


def test_a_generator_learns_a_data_set_of_one_image() -> None:
    """The whole loop pulls in the right direction: samples approach the only image there is."""
    trainer = build(batch_size=16, ema_halflife_images=64)
    target = torch.full(SHAPE, -1.0)
    target[:, 8:20, 8:20] = 1.0
    trainer.batches.images = ((target + 1) * 127.5).to(torch.uint8).expand(64, *SHAPE).contiguous()
    trainer.batches.labels = torch.zeros(64, dtype=torch.int64)
    labels = torch.zeros(16, dtype=torch.int64)
    before = (trainer.ema.module.sample(labels, seed=0) - target).abs().mean().item()
    list(trainer.train(16 * 150))
    after = (trainer.ema.module.sample(labels, seed=0) - target).abs().mean().item()
    assert after < before / 3
