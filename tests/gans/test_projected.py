"""Projected discriminators: the features never change, and every scale has logits."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from stages.config.components import resolve
from tests.builders import PARAMS, build_gan, build_trainer, components, real_batch


def test_the_features_stay_as_they_are_drawn_and_the_rest_learns() -> None:
    trainer = build_trainer("projected")
    discriminator = trainer.gan.discriminator
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    for _ in range(3):
        trainer.step()
    after = discriminator.state_dict()
    fixed = [name for name in before if name.startswith(("features.", "channel_mixing."))]
    learned = [name for name, _ in discriminator.named_parameters()]
    assert len(fixed) == 6
    assert all(torch.equal(before[name], after[name]) for name in fixed)
    assert all(not torch.equal(before[name], after[name]) for name in learned)
    assert not {name for name in learned if name.startswith(("features.", "channel_mixing."))}


@pytest.mark.parametrize(("shape", "scales"), [((1, 28, 28), 3), ((3, 64, 48), 4), ((1, 16, 16), 2), ((1, 8, 8), 1)])
def test_each_scale_has_a_logit(shape: tuple[int, int, int], scales: int) -> None:
    gan = build_gan("projected", shape)
    images, labels = real_batch(3, shape)
    assert gan.discriminator(images, labels).shape == (3, 1, scales)
    assert len(gan.discriminator.heads) == scales


def test_features_keep_their_size_through_the_scales() -> None:
    features = build_gan(
        "projected", network={"base_channels": 32}, gan={"feature_channels": 64}
    ).discriminator.features
    hidden, sizes = torch.randn(64, 1, 28, 28), []
    for layer in features:
        hidden = layer(hidden)
        sizes.append(hidden.square().mean().item())
        hidden = torch.nn.functional.leaky_relu(hidden, 0.2)
    assert all(0.5 < later / earlier < 2 for earlier, later in pairwise(sizes))


def test_each_scale_sees_mixed_channels() -> None:
    discriminator = build_gan("projected").discriminator.eval()
    images, labels = real_batch(3)
    before = discriminator(images, labels)
    for mixing in discriminator.channel_mixing:
        mixing.weight.neg_()
    after = discriminator(images, labels)
    assert all(not torch.allclose(old, new) for old, new in zip(before.unbind(2), after.unbind(2), strict=True))


def test_labels_are_refused() -> None:
    found = components("cgan")
    gan = resolve("gan", PARAMS.variants["projected"].gan.model_dump())
    with pytest.raises(ValueError, match=r"gan projected judges without labels: network mlp must not see any labels"):
        gan.check(found["network"], found["objective"], found["regularizer"])  # type: ignore[attr-defined]
