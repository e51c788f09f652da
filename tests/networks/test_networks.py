"""Every network of params.yaml takes one step on images of one and of three channels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stages.adversarial.engine import Engine
from stages.networks import dcgan, mlp
from stages.support.batches import Batches
from stages.support.errors import StageError
from stages.support.params import Params, load
from stages.support.parts import build_parts

PARAMS: Params = load()
SHAPES = [(1, 28, 28), (3, 28, 28), (3, 32, 32)]
CLASSES = 7


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", sorted(PARAMS.variants))
def test_one_step_moves_both_players(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    variant = PARAMS.variants[name].model_copy(update={"batch_size": 4})
    parts = build_parts(name, variant)
    game = parts.pop("game").build(**parts, image_shape=shape, classes=CLASSES)
    images = torch.randint(0, 256, (8, *shape), dtype=torch.uint8)
    engine = Engine(game, Batches(images, torch.arange(8) % CLASSES, 4), variant)
    before = {key: value.clone() for key, value in game.state_dict().items()}
    engine.step()
    scalars = engine.read_scalars()
    assert set(scalars) >= {"discriminator_loss", "generator_loss", "penalty"}
    assert all(torch.isfinite(torch.tensor(list(scalars.values()))))
    still = [
        key for key, parameter in game.named_parameters() if "weight" in key and torch.equal(parameter, before[key])
    ]
    assert not still  # biases may stand still: a critic's last one cancels out of the Wasserstein distance


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", sorted(PARAMS.variants))
def test_samples_have_the_datas_shape_and_range(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    network = build_parts(name, PARAMS.variants[name])["network"]
    generator = network.generator(shape, CLASSES)
    images = generator.sample(torch.arange(9) % CLASSES, seed=1, batch_size=4)
    assert images.shape == (9, *shape)
    assert images.abs().max() <= 1
    assert network.discriminator(shape, CLASSES)(images, torch.arange(9) % CLASSES).shape[0] == 9


def test_samples_of_a_seed_do_not_depend_on_anything_else() -> None:
    generator = build_parts("dcgan", PARAMS.variants["dcgan"])["network"].generator((1, 28, 28), 10)
    generator.train()
    labels = torch.zeros(6, dtype=torch.int64)
    first = generator.sample(labels, seed=1)
    state = torch.get_rng_state()
    assert torch.equal(generator.sample(labels, seed=1), first)
    assert not torch.equal(generator.sample(labels, seed=2), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert generator.training


def test_samples_come_from_the_generators_own_latents() -> None:
    generator = build_parts("mlp", PARAMS.variants["mlp"])["network"].generator((1, 28, 28), 10)
    labels = torch.zeros(3, dtype=torch.int64)
    generator.latent = lambda labels: torch.zeros(len(labels), generator.latent_size)
    images = generator.sample(labels, seed=1)
    assert torch.equal(images[0], images[1])


def options(**changes: Any) -> mlp.Network:
    base: dict[str, Any] = {
        "name": "mlp",
        "latent_size": 5,
        "generator_widths": [8, 16, 32],
        "discriminator_widths": [16],
        "generator_slope": 0.0,
        "discriminator_slope": 0.2,
        "batch_norm": "none",
        "dropout": 0.0,
        "label_embedding_size": 0,
    }
    return mlp.Network(**base | changes)


@pytest.mark.parametrize(("batch_norm", "normalised"), [("none", []), ("inner", [16, 32]), ("all", [8, 16, 32, 784])])
def test_mlp_normalises_the_layers_it_is_told_to(batch_norm: str, normalised: list[int]) -> None:
    generator = options(batch_norm=batch_norm).generator((1, 28, 28), 10)
    norms = [module.num_features for module in generator.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    assert norms == normalised


def test_a_conditional_mlp_looks_at_labels_in_both_players() -> None:
    torch.manual_seed(0)
    network = options(label_embedding_size=3)
    generator, discriminator = network.generator((1, 28, 28), 10), network.discriminator((1, 28, 28), 10)
    latent = torch.randn(1, 5).expand(2, -1)
    images = generator(latent, torch.tensor([0, 1]))
    assert not torch.allclose(images[0], images[1])
    same = images[:1].expand(2, -1, -1, -1)
    logits = discriminator(same, torch.tensor([0, 1]))
    assert not torch.allclose(logits[0], logits[1])
    assert generator.conditional
    assert not options().generator((1, 28, 28), 10).conditional


@pytest.mark.parametrize(
    ("shape", "start"), [((1, 28, 28), (3, 3)), ((3, 64, 64), (4, 4)), ((1, 27, 27), (3, 3)), ((1, 24, 41), (3, 5))]
)
def test_dcgan_starts_from_the_datas_own_size(shape: tuple[int, int, int], start: tuple[int, int]) -> None:
    network = dcgan.Network(name="dcgan", latent_size=3, base_channels=2, discriminator_norm="batch")
    generator = network.generator(shape, 10)
    assert generator.start_shape[1:] == start
    assert generator(torch.randn(2, 3), torch.zeros(2, dtype=torch.int64)).shape == (2, *shape)


def test_dcgan_refuses_images_that_cannot_be_halved() -> None:
    network = dcgan.Network(name="dcgan", latent_size=3, base_channels=2, discriminator_norm="none")
    with pytest.raises(StageError, match="4×28"):
        network.generator((1, 4, 28), 10)


def test_layer_norm_leaves_images_independent_and_batch_norm_does_not() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 1, 28, 28)
    labels = torch.zeros(4, dtype=torch.int64)
    independent = {}
    for norm in ("none", "layer", "batch"):
        network = dcgan.Network(name="dcgan", latent_size=3, base_channels=4, discriminator_norm=norm)
        discriminator = network.discriminator((1, 28, 28), 10).train()
        together = discriminator(images, labels)[:2]
        independent[norm] = torch.allclose(together, discriminator(images[:2], labels[:2]), atol=1e-6)
    assert independent == {"none": True, "layer": True, "batch": False}
