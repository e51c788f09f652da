"""Translation: the two domains, every term of the losses, the pool of earlier fakes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from stages.gans import cyclegan
from stages.networks.layers import InstanceNorm
from stages.storage.pixels import to_float, to_outlines
from tests.builders import build_gan

SHAPE = (1, 12, 12)


def build(reuse_fakes: bool = False, **changes: Any) -> Any:
    """A CycleGAN of the variant's options, some of them changed."""
    return build_gan("cyclegan", SHAPE, reuse_fakes=reuse_fakes, gan=changes)


def batch(count: int = 4) -> tuple[Tensor, Tensor]:
    images = torch.rand(count, 2, 1, 12, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return images, torch.zeros(count, dtype=torch.int64)


def test_no_image_is_in_both_domains() -> None:
    images = torch.randint(0, 256, (11, 1, 12, 12), dtype=torch.uint8)
    gan = build()
    digits, outlines = gan.options.training_images(images).unbind(dim=1)
    assert torch.equal(digits, images[:5])
    levels = (to_outlines(to_float(images[5:10])) + 1) * 127.5
    assert torch.equal(outlines, levels.round().to(torch.uint8))


def test_norms_of_both_networks_are_instance_norms() -> None:
    gan = build()
    for network in (gan.generator, gan.discriminator):
        norms = [module for module in network.modules() if "Norm" in type(module).__name__]
        assert norms
        assert {type(norm) for norm in norms} == {InstanceNorm}


def test_under_autocast_both_discriminators_see_float32() -> None:
    gan = build()
    seen: list[torch.dtype] = []
    for discriminator in (gan.discriminator.digits, gan.discriminator.outlines):
        discriminator.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0].dtype))
    real, labels = batch()
    with torch.autocast("cpu", torch.bfloat16):
        assert gan.generator.to_digits(real[:, 1]).dtype == torch.bfloat16
        gan.discriminator_loss(real, labels)
        assert len(seen) == 2
        gan.generator_loss(real, labels)
    assert len(seen) == 4
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize("reuse", [False, True])
def test_the_generators_loss_is_the_papers(reuse: bool) -> None:
    gan = build(reuse_fakes=reuse, cycle_weight=7.0, identity_weight=3.0)
    real, labels = batch()
    gan.discriminator_loss(real, labels)
    scalars = gan.generator_loss(real, labels)
    digits, outlines = real.unbind(dim=1)
    g, d = gan.generator, gan.discriminator
    fake_digits, fake_outlines = g.to_digits(outlines), g.to_outlines(digits)

    def distance(one: Tensor, other: Tensor) -> Tensor:
        return (one - other).abs().mean()

    adversarial = ((d.digits(fake_digits) - 1) ** 2).mean() / 2 + ((d.outlines(fake_outlines) - 1) ** 2).mean() / 2
    cycle = distance(g.to_digits(fake_outlines), digits) + distance(g.to_outlines(fake_digits), outlines)
    identity = distance(g.to_digits(digits), digits) + distance(g.to_outlines(outlines), outlines)
    assert scalars.loss.item() == pytest.approx((adversarial + 7 * cycle + 3 * identity).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("reuse", "weight", "expected"),
    [(False, 0.0, [4, 4, 4]), (False, 3.0, [4, 8, 4]), (True, 0.0, [4, 4]), (True, 3.0, [8, 4])],
)
def test_identities_are_made_in_the_pass_that_needs_them_alone(reuse: bool, weight: float, expected: list[int]) -> None:
    gan = build(reuse_fakes=reuse, identity_weight=weight)
    counts: list[int] = []  # images in each pass: fakes of each step or of both, then back again
    gan.generator.to_digits.register_forward_hook(lambda _module, given, _output: counts.append(len(given[0])))
    real, labels = batch()
    gan.discriminator_loss(real, labels)
    losses = gan.generator_loss(real, labels)
    assert counts == expected
    assert ("identity_loss" in losses.scalars) == (weight > 0)
    assert losses.loss.item() == pytest.approx(sum(value.item() for value in losses.scalars.values()), rel=1e-5)


def test_a_relativistic_objective_compares_fakes_with_real_images_of_their_domain() -> None:
    gan = build_gan("cyclegan", SHAPE, objective={"name": "relativistic"})
    real, labels = batch()
    digits, outlines = real.unbind(dim=1)
    g, d = gan.generator, gan.discriminator
    differences = [d.digits(digits) - d.digits(g.to_digits(outlines))]
    differences += [d.outlines(outlines) - d.outlines(g.to_outlines(digits))]
    expected = sum(softplus(difference).mean().item() for difference in differences)
    assert gan.generator_loss(real, labels).scalars["generator_loss"].item() == pytest.approx(expected, rel=1e-5)


def test_the_discriminators_loss_is_that_of_both_and_leaves_the_translators_alone() -> None:
    gan = build(pool_size=50)
    real, labels = batch()
    losses = gan.discriminator_loss(real, labels)
    digits, outlines = real.unbind(dim=1)
    g, d = gan.generator, gan.discriminator
    pairs = [(d.digits, digits, g.to_digits(outlines)), (d.outlines, outlines, g.to_outlines(digits))]
    expected = [((logits(x) - 1) ** 2).mean() / 2 + (logits(fake) ** 2).mean() / 2 for logits, x, fake in pairs]
    assert losses.loss.item() == pytest.approx(torch.stack(expected).sum().item(), rel=1e-5)
    losses.loss.backward()
    assert all(weight.grad is None for weight in gan.generator.parameters())
    assert all(weight.grad is not None for weight in gan.discriminator.parameters())


def test_the_pool_hands_out_earlier_fakes_half_of_the_time_and_loses_none() -> None:
    torch.manual_seed(0)
    pool = cyclegan.ImagePool(10, (1, 1, 1))
    numbers = torch.arange(2000.0)[:, None, None, None]
    first = torch.cat([pool.exchange(part) for part in numbers[:10].split(4)])
    assert torch.equal(first, numbers[:10])
    out = [pool.exchange(part) for part in numbers[10:].split(4)]
    earlier = [(given != part).float().mean() for given, part in zip(out, numbers[10:].split(4), strict=True)]
    assert torch.stack(earlier).mean().item() == pytest.approx(0.5, abs=0.03)
    # every fake is handed out when it is new or later, or is still kept; none is there twice
    seen = torch.cat([*out, pool.images]).flatten().sort().values
    assert len(set(pool.images.flatten().tolist())) == 10
    assert set(numbers[10:].flatten().tolist()) <= set(seen.tolist())


def test_a_pool_goes_on_from_its_state() -> None:
    pool, other = cyclegan.ImagePool(6, (1, 1, 1)), cyclegan.ImagePool(6, (1, 1, 1))
    numbers = torch.arange(12.0)[:, None, None, None]
    pool.exchange(numbers[:4])
    other.load_state_dict(pool.state_dict())
    for part in numbers[4:].split(4):
        found = []
        for each in (pool, other):
            torch.manual_seed(3)
            found.append(each.exchange(part))
        assert torch.equal(*found)
    assert torch.equal(pool.images, other.images)


def test_samples_on_the_way_are_translations_of_training_outlines() -> None:
    gan = build()
    images = gan.options.training_images(torch.randint(0, 256, (12, 1, 12, 12), dtype=torch.uint8))
    samples = gan.sample(gan.generator, torch.zeros(3, dtype=torch.int64), images, seed=5)
    with torch.no_grad():
        expected = gan.generator.to_digits(to_float(images[:3, 1]))
    assert torch.allclose(samples, expected, atol=1e-6)
