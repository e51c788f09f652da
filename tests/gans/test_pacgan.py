"""Packs: the discriminator sees neighbours of the batch in its channels, and one logit stands for all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.config.components import resolve
from stages.config.errors import ParameterError, StageError
from stages.config.params import Adam, Optimizers, Params, validate
from stages.storage.pixels import to_uint8
from stages.train import largest_batch
from stages.training import processes
from stages.training.batches import Batches
from stages.training.receptive_field import receptive_field
from stages.training.trainer import Trainer
from tests.builders import PARAMS, SHAPE, build_gan, components, hyperparameters, real_batch

LABELS = torch.zeros(6, dtype=torch.int64)
ADAM = Adam(name="adam", learning_rate=0.004, betas=[0.0, 0.9])


def test_packs_hold_neighbours_in_their_channels() -> None:
    gan = build_gan("pacgan", shape=(2, 28, 28), gan={"pack_size": 3})
    images, _ = real_batch(6, (2, 28, 28))
    packs = gan.transform_real(images)
    assert packs.shape == (2, 6, 28, 28)
    assert torch.equal(packs[1, 2:4], images[4])
    assert gan.generate(LABELS).images.shape == (2, 6, 28, 28)
    assert gan.discriminate(packs, LABELS).shape == (2, 1)
    assert gan.generator.sample(LABELS, seed=0).shape == (6, 2, 28, 28)  # images, not packs


def test_a_pack_of_one_is_a_gan() -> None:
    one, other = build_gan("pacgan", gan={"pack_size": 1}), build_gan("dcgan")
    other.load_state_dict(one.state_dict())
    losses = []
    for gan in (one, other):
        torch.manual_seed(0)
        real, labels = real_batch(6)
        losses += [gan.discriminator_loss(real, labels).loss, gan.generator_loss(real, labels).loss]
    assert [loss.item() for loss in losses[:2]] == [loss.item() for loss in losses[2:]]


def test_a_penalty_is_that_of_whole_packs() -> None:
    gan = build_gan("pacgan", gan={"pack_size": 2}, regularizer={"weight": 2.0, "interval": 1})
    real, labels = real_batch(6)
    found = gan.discriminator_loss(real, labels).scalars["penalty"].item()
    packs = gan.transform_real(real).requires_grad_()
    (gradient,) = torch.autograd.grad(gan.discriminator(packs, labels).sum(), packs)
    assert found == pytest.approx(2.0 / 2 * gradient.square().sum().item() / 3, rel=1e-4)  # three packs


def test_each_image_of_a_pack_is_augmented_on_its_own() -> None:
    gan = build_gan("pacgan", gan={"pack_size": 2})
    given: list[Tensor] = []
    gan.augment = lambda images: given.append(images) or images + 1  # type: ignore[func-returns-value]
    packs = gan.transform_real(real_batch(6)[0])
    assert torch.equal(gan.perturb(packs), packs + 1)
    assert torch.equal(given[0], real_batch(6)[0])


@pytest.mark.parametrize("pack_size", [1, 3, 4])
def test_a_logit_sees_all_of_its_pack(pack_size: int) -> None:
    assert receptive_field(build_gan("pacgan", gan={"pack_size": pack_size}), SHAPE) == (28, 28)


def test_labels_are_refused() -> None:
    found = components("cgan")
    gan = resolve("gan", PARAMS.variants["pacgan"].gan.model_dump())
    with pytest.raises(ValueError, match=r"gan pacgan judges packs of images: network mlp must not see any labels"):
        gan.check(found["network"], found["objective"], found["regularizer"])  # type: ignore[attr-defined]


def test_a_batch_that_packs_do_not_divide_is_refused() -> None:
    data = PARAMS.model_dump()
    data["variants"]["pacgan"]["gan"]["pack_size"] = 3
    data["variants"]["pacgan"]["batch_size"] = 32
    with pytest.raises(ParameterError, match=r"variants\.pacgan\.gan\.pack_size must divide the batch size, 32"):
        validate(Params, data, "params.yaml", resolve=True)


@pytest.mark.parametrize(("images", "batch"), [(29, 28), (2, 2), (31, 30), (100, 32)])
def test_of_few_images_the_largest_batch_that_packs_divide_is_taken(images: int, batch: int) -> None:
    assert largest_batch(PARAMS.variants["pacgan"], images) == batch
    dcgan = PARAMS.variants["dcgan"]
    assert largest_batch(dcgan, images) == min(images, dcgan.batch_size)
    assert largest_batch(dcgan, 1) == 1


def test_too_few_images_for_a_pack_are_refused() -> None:
    with pytest.raises(StageError, match="1 training images: too few for a batch of this variant"):
        largest_batch(PARAMS.variants["pacgan"], 1)


def test_batches_that_processes_cannot_share_equally_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dcgan = PARAMS.variants["dcgan"]
    for count, is_allowed in ((2, True), (3, False), (dcgan.batch_size, True), (2 * dcgan.batch_size, False)):
        monkeypatch.setattr(processes, "world_size", lambda count=count: count)
        if is_allowed:
            assert largest_batch(dcgan, 1000) == dcgan.batch_size
        else:
            with pytest.raises(StageError, match=f"^{count} processes: not allowed; .* divides batch_size 64$"):
                largest_batch(dcgan, 1000)


def divergence_of_modes(name: str, digits: np.ndarray, classes: np.ndarray, seed: int) -> float:
    """KL divergence of 1,000 modes of samples from even ones, after 500 steps on images of three digits of 8 × 8."""
    triples = np.random.default_rng(seed).integers(0, len(digits), (20_000, 3))
    data = torch.from_numpy(digits[triples])
    gan = build_gan(name, (3, 8, 8), network={"base_channels": 16}, regularizer={"weight": 0.1})
    torch.manual_seed(seed)
    labels = torch.zeros(len(data), dtype=torch.int64)
    same = Optimizers(generator=ADAM, discriminator=ADAM)  # the rate alone changes how many modes there are
    trainer = Trainer(gan, Batches(data, labels, 32), hyperparameters(name, optimizers=same))
    list(trainer.train(500 * 32))
    samples = to_uint8(trainer.ema.module.sample(labels[:5000], seed=1)).numpy()
    from sklearn.neighbors import KNeighborsClassifier  # type: ignore[import-untyped]

    seen = KNeighborsClassifier(1).fit(digits.reshape(-1, 64), classes).predict(samples.reshape(-1, 64))
    shares = np.bincount(seen.reshape(-1, 3) @ [100, 10, 1], minlength=1000) / len(samples)
    return float((shares[shares > 0] * np.log(1000 * shares[shares > 0])).sum())


def test_packs_keep_more_modes_at_the_same_length_and_rate() -> None:
    from sklearn.datasets import load_digits  # type: ignore[import-untyped] # imports much

    data = load_digits()
    digits = (data.images * (255 / 16)).round().astype(np.uint8)
    divergence = {
        name: np.mean([divergence_of_modes(name, digits, data.target, seed) for seed in (0, 1)])
        for name in ("dcgan", "pacgan")
    }
    assert divergence["pacgan"] < 0.9 * divergence["dcgan"]  # measured: 0.84
