"""Every variant of params.yaml takes one step, and every network does so on images of other shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.utils import parametrize

from stages.networks import began
from tests.builders import PARAMS, build_gan, build_trainer, components

SHAPE = (1, 28, 28)
CLASSES = 7
FIRST_OF_EACH_NETWORK = {variant.network.name: name for name, variant in reversed(PARAMS.variants.items())}
CASES = [(name, SHAPE) for name in PARAMS.variants]
OTHER_SHAPES = ((3, 28, 28), (3, 32, 32), (1, 17, 30))
MULTIPLES_OF_4 = ((3, 28, 28), (3, 32, 32), (1, 16, 28))  # of a network that enlarges by 4
CASES += [
    (name, shape)
    for name in FIRST_OF_EACH_NETWORK.values()
    for shape in (MULTIPLES_OF_4 if name == "srgan" else OTHER_SHAPES)
]
LATER = {  # weights that the first step cannot move: those behind a factor that starts at zero, or of smaller sizes
    "sagan": ("generator.layers.2.", "discriminator.layers.4."),
    "progan": (
        "generator.to_images.0",
        "generator.to_images.1",
        "discriminator.from_images.0",
        "discriminator.from_images.1",
    ),
}


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in PARAMS.variants),
    *(("dcgan", {"discriminator_norm": norm}) for norm in ("none", "batch", "layer", "spectral")),
    ("began", {"autoencoder": began.Convolutional(name="convolutional", channels=4)}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_a_discriminator_is_per_sample_just_where_its_network_says_so(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = components(name)["network"].model_copy(update=options)
    discriminator = network.discriminator(SHAPE, CLASSES).train()
    for module in discriminator.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    images, labels = torch.rand(8, *SHAPE) * 2 - 1, torch.arange(8) % CLASSES
    with torch.no_grad(), parametrize.cached():  # of a spectral norm, one power iteration for all
        whole = discriminator(images, labels)
        halves = [discriminator(*half) for half in zip(images.split(4), labels.split(4), strict=True)]
    assert torch.allclose(whole, torch.cat(halves), atol=1e-5) == network.per_sample


@pytest.mark.parametrize("name", PARAMS.variants)
def test_steps_in_bfloat16(name: str) -> None:
    trainer = build_trainer(name, precision="bfloat16")
    for _ in range(2):  # with and without a lazy penalty
        trainer.step()
    assert trainer.find_broken() == []


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_one_step_moves_both_networks(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    gan = build_gan(name, shape, CLASSES)
    trainer = build_trainer(name, gan, shape)
    trainer.batches.labels %= CLASSES
    trainer.follow_schedules(0.99)
    before = {key: value.clone() for key, value in gan.state_dict().items()}
    trainer.step()
    scalars = trainer.read_scalars()
    assert set(scalars) >= {"discriminator_loss", "generator_loss", "penalty"}
    assert all(torch.isfinite(torch.tensor(list(scalars.values()))))
    still = [
        key
        for key, parameter in gan.named_parameters()
        if "weight" in key and torch.equal(parameter, before[key]) and not key.startswith(LATER.get(name, "-"))
    ]
    assert not still  # biases may stand still: a critic's last one cancels out of the Wasserstein distance


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_samples_have_the_datas_shape_and_range(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    gan = build_gan(name, shape, CLASSES)
    labels = torch.arange(8) % CLASSES
    training_images = gan.options.training_images(torch.randint(0, 256, (16, *shape), dtype=torch.uint8))
    images = gan.sample(gan.generator, labels, training_images, seed=1)
    assert images.shape == (8, *shape)
    assert images.abs().max() <= 1
    assert len(gan.discriminate(gan.transform_real(images), labels)) == 8 // gan.options.images_per_logit
    for picture in gan.generator.pictures(labels, seed=1, truncation=1.0).values():
        assert picture.images.shape[1:] == shape
        assert len(picture.images) % picture.columns == 0


def test_samples_of_a_seed_do_not_depend_on_anything_else() -> None:
    generator = components("dcgan")["network"].generator((1, 28, 28), 10)
    generator.train()
    labels = torch.zeros(6, dtype=torch.int64)
    first = generator.sample(labels, seed=1)
    state = torch.get_rng_state()
    assert torch.equal(generator.sample(labels, seed=1), first)
    assert not torch.equal(generator.sample(labels, seed=2), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert generator.training


@pytest.mark.parametrize("name", ["dcgan", "infogan", "stylegan", "cgan"])
def test_truncation_draws_samples_together(name: str) -> None:
    torch.manual_seed(0)
    generator = build_gan(name).generator
    labels = torch.zeros(32, dtype=torch.int64)
    spread = [
        generator.sample(labels, seed=1, truncation=truncation).std(dim=0).mean().item()
        for truncation in (1.0, 0.5, 0.0)
    ]
    assert spread[0] > spread[1] > spread[2]
    assert torch.equal(generator.sample(labels, seed=1), generator.sample(labels, seed=1, truncation=1.0))


def test_samples_come_from_the_generators_own_latents() -> None:
    generator = components("mlp")["network"].generator((1, 28, 28), 10)
    labels = torch.zeros(3, dtype=torch.int64)
    generator.latent = lambda labels: torch.zeros(len(labels), generator.latent_size)
    images = generator.sample(labels, seed=1)
    assert torch.equal(images[0], images[1])


@pytest.mark.parametrize("name", ["sngan", "sagan", "projected"])
def test_spectral_norm_leaves_no_layer_a_singular_value_above_one(name: str) -> None:
    torch.manual_seed(0)
    gan = build_gan(name)
    for network in [gan.discriminator, *([gan.generator] if name == "sagan" else [])]:
        for _ in range(30):  # each pass in training takes one step of the power iteration
            network(
                torch.randn(2, 64) if network is gan.generator else torch.randn(2, 1, 28, 28), torch.zeros(2).long()
            )
        layers = [
            layer
            for role, layer in network.named_modules()
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear | torch.nn.ConvTranspose2d)
            and not role.startswith(("features.", "channel_mixing."))  # of projected, which never learn
            and (network is gan.discriminator or layer is not network.layers[-2])  # sagan's last, before tanh
        ]
        assert len(layers) >= 3
        for layer in layers:
            weight = layer.weight.detach()
            rows = weight.transpose(0, 1) if isinstance(layer, torch.nn.ConvTranspose2d) else weight
            assert torch.linalg.matrix_norm(rows.flatten(1), 2) == pytest.approx(1, abs=0.05)
