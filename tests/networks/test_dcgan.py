"""Strided convolutions: labels, sizes, norms, and how weights start."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import layer_norm

from stages.config.errors import StageError
from stages.networks import dcgan
from stages.networks.layers import doubling, initialise_he


def options(**changes: Any) -> dcgan.DCGANNetwork:
    base: dict[str, Any] = {"name": "dcgan", "latent_size": 3, "base_channels": 4, "labels": "none"}
    base |= {"generator_norm": "batch", "discriminator_norm": "none", "discriminator_init": "normal"}
    return dcgan.DCGANNetwork(**base | changes)


@pytest.mark.parametrize("labels", ["none", "generator", "both"])
def test_labels_are_shown_to_those_who_are_told_to_see_them(labels: str) -> None:
    torch.manual_seed(0)
    network = options(labels=labels, discriminator_norm="spectral")
    generator, discriminator = network.generator((1, 28, 28), 10).eval(), network.discriminator((1, 28, 28), 10)
    latent = torch.randn(1, 3).expand(2, -1)
    two = torch.tensor([0, 1])
    drawn = generator(latent, two)
    assert torch.allclose(drawn[0], drawn[1], atol=1e-6) == (labels == "none")
    logits = discriminator.eval()(drawn[:1].expand(2, -1, -1, -1), two)
    assert torch.allclose(logits[0], logits[1], rtol=0, atol=1e-6) == (labels != "both")
    assert (network.generator_sees_labels, network.discriminator_sees_labels) == (labels != "none", labels == "both")


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "spectral"])
@pytest.mark.parametrize("init", ["normal", "he"])
def test_a_discriminator_of_labels_begins_with_finite_logits(norm: str, init: str) -> None:
    torch.manual_seed(0)
    discriminator = options(labels="both", discriminator_norm=norm, discriminator_init=init).discriminator((1, 8, 8), 3)
    logits = discriminator(torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 0]))
    logits.sum().backward()
    assert logits.isfinite().all()
    gradients = [weight.grad for weight in discriminator.parameters()]
    assert len(gradients) > 4
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("shape", "start"), [((1, 28, 28), (3, 3)), ((3, 64, 64), (4, 4)), ((1, 27, 27), (3, 3)), ((1, 24, 41), (3, 5))]
)
def test_the_generator_starts_from_the_datas_own_size(shape: tuple[int, int, int], start: tuple[int, int]) -> None:
    network = options(discriminator_norm="batch")
    generator: Any = network.generator(shape, 10)
    assert generator.start_shape[1:] == start
    assert generator(torch.randn(2, 3), torch.zeros(2, dtype=torch.int64)).shape == (2, *shape)


def test_images_that_cannot_be_halved_are_refused() -> None:
    network = options()
    with pytest.raises(StageError, match="4×28"):
        network.generator((1, 4, 28), 10)


def test_layer_norm_leaves_images_independent_and_batch_norm_does_not() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 1, 28, 28)
    labels = torch.zeros(4, dtype=torch.int64)
    independent = {}
    for norm in ("none", "layer", "batch"):
        network = options(discriminator_norm=norm)
        discriminator = network.discriminator((1, 28, 28), 10).train()
        together = discriminator(images, labels)[:2]
        independent[norm] = torch.allclose(together, discriminator(images[:2], labels[:2]), atol=1e-6)
    assert independent == {"none": True, "layer": True, "batch": False}


def test_he_weights_keep_the_size_of_what_passes_through() -> None:
    """He et al. (2015, section 2.2): mean squares of layers' outputs stay near the input's; N(0, 0.02²) loses them."""
    squares = {}
    images = torch.randn(64, 1, 28, 28)
    for init in ("normal", "he"):
        torch.manual_seed(0)
        network = options(base_channels=24, discriminator_init=init)
        layers: Any = network.discriminator((1, 28, 28), 10).layers
        squares[init] = layers(images).square().mean().item()
    assert 0.3 < squares["he"] < 2
    assert squares["normal"] < 0.01 * squares["he"]


def test_he_weights_of_transposed_convolutions_keep_the_size_too() -> None:
    """Each pixel gathers kernel / stride² of the inputs; a leaky ReLU, which follows, halves mean squares."""
    torch.manual_seed(0)
    layer = doubling(64, 64, (16, 16)).apply(initialise_he)
    inside = layer(torch.randn(32, 64, 8, 8))[:, :, 2:-2, 2:-2]
    assert inside.square().mean().item() == pytest.approx(2, rel=0.1)


def test_layer_norm_is_that_of_all_channels_and_pixels() -> None:
    hidden = 3 * torch.randn(2, 6, 5, 5) + 1
    (norm,) = dcgan._norm("layer", 6)
    assert torch.allclose(norm(hidden), layer_norm(hidden, hidden.shape[1:]), atol=1e-5)
