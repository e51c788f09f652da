"""Fully connected networks: where norms are, and who looks at labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stages.networks import mlp


def options(**changes: Any) -> mlp.MLPNetwork:
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
    return mlp.MLPNetwork(**base | changes)


@pytest.mark.parametrize(("batch_norm", "normalised"), [("none", []), ("inner", [16, 32]), ("all", [8, 16, 32, 784])])
def test_norms_are_where_they_are_asked_for(batch_norm: str, normalised: list[int]) -> None:
    generator = options(batch_norm=batch_norm).generator((1, 28, 28), 10)
    norms = [module.num_features for module in generator.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    assert norms == normalised


def test_both_networks_of_a_conditional_one_look_at_labels() -> None:
    torch.manual_seed(0)
    network = options(label_embedding_size=3)
    generator, discriminator = network.generator((1, 28, 28), 10), network.discriminator((1, 28, 28), 10)
    latent = torch.randn(1, 5).expand(2, -1)
    images = generator(latent, torch.tensor([0, 1]))
    assert not torch.allclose(images[0], images[1])
    same = images[:1].expand(2, -1, -1, -1)
    logits = discriminator(same, torch.tensor([0, 1]))
    assert not torch.allclose(logits[0], logits[1])
    assert generator.label_meaning == "class"
    assert options().generator((1, 28, 28), 10).label_meaning == "ignored"


def test_dropout_is_in_the_discriminator_alone_and_slopes_are_each_networks_own() -> None:
    network = options(dropout=0.3, generator_slope=0.1)
    generator, discriminator = network.generator((1, 28, 28), 10), network.discriminator((1, 28, 28), 10)
    assert [module.p for module in discriminator.modules() if isinstance(module, torch.nn.Dropout)] == [0.3]
    assert not [module for module in generator.modules() if isinstance(module, torch.nn.Dropout)]
    for player, slope in ((generator, 0.1), (discriminator, 0.2)):
        slopes = {module.negative_slope for module in player.modules() if isinstance(module, torch.nn.LeakyReLU)}
        assert slopes == {slope}
