"""The standard GAN: what each loss is made of, and when generator and discriminator are asked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from stages.gans.began import BEGAN
from tests.builders import build_gan, real_batch


def test_the_losses_are_the_objectives_and_the_penalty() -> None:
    gan = build_gan("dcgan", reuse_fakes=True, regularizer={"name": "r1", "weight": 5.0, "interval": 1})
    images, labels = real_batch()
    losses = gan.discriminator_loss(images, labels)
    scalars = losses.scalars
    real, fake = gan.discriminator(images, labels), gan.discriminator(gan._last_fakes.images, labels)
    assert scalars["discriminator_loss"].item() == pytest.approx((softplus(-real) + softplus(fake)).mean().item())
    assert scalars["real_logits"].item() == pytest.approx(real.mean().item(), abs=1e-6)
    assert scalars["fake_logits"].item() == pytest.approx(fake.mean().item(), abs=1e-6)
    assert scalars["penalty"] > 0
    assert losses.loss.item() == pytest.approx((scalars["discriminator_loss"] + scalars["penalty"]).item())
    assert gan.generator_loss(images, labels).loss.item() == pytest.approx(softplus(-fake).mean().item())


def test_the_penalty_is_taken_in_due_steps_only() -> None:
    gan = build_gan("cgan", regularizer={"name": "r1", "weight": 5.0, "interval": 3})
    taken = [gan.discriminator_loss(*real_batch()).scalars["penalty"].item() > 0 for _ in range(5)]
    assert taken == [True, False, False, True, False]
    other = build_gan("cgan", regularizer={"name": "r1", "weight": 5.0, "interval": 3})
    other.load_state_dict(gan.state_dict())  # the count is part of the state
    taken = [other.discriminator_loss(*real_batch()).scalars["penalty"].item() > 0 for _ in range(2)]
    assert taken == [False, True]


def test_both_networks_are_asked_with_the_batchs_labels() -> None:
    gan = build_gan("cgan")
    asked: dict[str, list[Tensor]] = {"generator": [], "discriminator": []}
    for network, seen in asked.items():
        module = getattr(gan, network)
        module.register_forward_hook(lambda _module, arguments, _output, seen=seen: seen.append(arguments[1]))
    images, labels = real_batch()
    gan.discriminator_loss(images, labels)
    gan.generator_loss(images, labels)
    assert len(asked["generator"]) == 2
    assert len(asked["discriminator"]) == 3  # real, fake, in a step with penalty; fake
    assert all(torch.equal(seen, labels) for calls in asked.values() for seen in calls)
    asked["discriminator"].clear()
    gan.discriminator_loss(images, labels)
    (both,) = asked["discriminator"]  # at once, in a step without
    assert torch.equal(both, torch.cat([labels, labels]))


@pytest.mark.parametrize("name", ["mlp", "dcgan", "cgan", "acgan", "infogan", "began", "cyclegan", "pix2pix", "srgan"])
def test_a_joint_batch_of_real_and_fake_images_changes_nothing(name: str) -> None:
    found = []
    for at_once in (True, False):
        gan = build_gan(name, regularizer={"name": "none"})
        assert gan.per_sample
        gan.per_sample = at_once
        if isinstance(gan, BEGAN):
            gan.k.fill_(0.5)  # at 0 fakes do not count
        images, labels = real_batch(8)
        images = torch.stack([images, images.flip(0)], dim=1) if name == "cyclegan" else images
        gan.discriminator_loss(images, labels).loss.backward()
        found.append([weight.grad for weight in gan.discriminator.parameters()])
    for together, apart in zip(*found, strict=True):
        torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_no_gradient_of_the_discriminators_loss_reaches_the_generator() -> None:
    for reuse in (False, True):
        gan = build_gan("dcgan", reuse_fakes=reuse)
        gan.discriminator_loss(*real_batch()).loss.backward()
        assert all(weight.grad is None for weight in gan.generator.parameters())
        assert all(weight.grad is not None for weight in gan.discriminator.parameters())


def test_new_fakes_are_drawn_in_each_step_and_reused_ones_keep_their_gradient() -> None:
    for reuse, count in ((False, 2), (True, 1)):
        gan = build_gan("dcgan", reuse_fakes=reuse)
        drawn: list[Tensor] = []
        seen: list[Tensor] = []
        gan.generator.register_forward_hook(lambda _module, _given, output, drawn=drawn: drawn.append(output))
        gan.discriminator.register_forward_hook(lambda _module, given, _output, seen=seen: seen.append(given[0]))
        gan.discriminator_loss(*real_batch())
        gan.generator_loss(*real_batch()).loss.backward()
        assert len(drawn) == count
        assert torch.equal(seen[1], seen[2]) == reuse
        assert all(weight.grad is not None for weight in gan.generator.parameters())


def test_a_relativistic_generator_sees_real_logits() -> None:
    gan = build_gan("r3gan", reuse_fakes=True)
    images, labels = real_batch()
    gan.discriminator_loss(images, labels)
    fakes = gan._last_fakes.images
    difference = gan.discriminator(images, labels) - gan.discriminator(fakes, labels)
    loss = gan.generator_loss(images, labels).loss.item()
    assert loss == pytest.approx(softplus(difference).mean().item(), rel=1e-5)


def test_instance_noise_reaches_real_and_fake_images() -> None:
    gan = build_gan("dcgan", reuse_fakes=True)
    seen: list[Tensor] = []
    gan.discriminator.register_forward_hook(lambda _module, given, _output: seen.append(given[0]))
    images, labels = real_batch(64)
    for std in (0.5, 0.25, 0.0):
        gan.noise_std = std
        gan.discriminator_loss(images, labels)
        assert (seen[-2 if std == 0.5 else -1][:64] - images).std().item() == pytest.approx(std, rel=0.02)
        assert (seen[-1][-64:] - gan._last_fakes.images).std().item() == pytest.approx(std, rel=0.02)
    gan.noise_std = 0.5
    gan.generator_loss(images, labels)
    assert seen[-1].abs().max() > 1.5  # a generator's images stay within 1
