"""Classes that the discriminator names, too: their cross entropies by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from stages.contracts.gan import logits_of
from tests.builders import SHAPE, build_gan


def log_share(outputs: Tensor, chosen: Tensor) -> Tensor:
    """Mean log of the softmax probability of what was chosen, written out."""
    exponentials = outputs.exp()
    return -nll_loss((exponentials / exponentials.sum(dim=1, keepdim=True)).log(), chosen)


def test_acgan_adds_the_classes_cross_entropy_to_both_losses() -> None:
    gan = build_gan("acgan", gan={"class_weight": 2.0, "fake_class_share": 0.5})
    real, labels = torch.rand(6, *SHAPE) * 2 - 1, torch.tensor([0, 1, 2, 9, 9, 4])
    fakes = gan.generate(labels)
    outputs = gan.discriminate(fakes.images, labels), gan.discriminate(real, labels)
    assert outputs[0].shape == (6, 11)
    assert torch.equal(logits_of(outputs[0]), outputs[0][:, :1])
    auxiliary = gan.discriminator_auxiliary_losses(outputs[1], outputs[0], fakes, labels)
    assert auxiliary["real_class_loss"].item() == pytest.approx(
        -2 * log_share(outputs[1][:, 1:], labels).item(), rel=1e-4
    )
    fake_loss = -log_share(outputs[0][:, 1:], labels)
    assert auxiliary["fake_class_loss"].item() == pytest.approx(fake_loss.item(), rel=1e-4)
    (generators,) = gan.generator_auxiliary_losses(outputs[0], fakes, labels).values()
    assert generators.item() == pytest.approx(2 * fake_loss.item(), rel=1e-4)
    losses = gan.generator_loss(real, labels)
    assert losses.loss.item() == pytest.approx(sum(value.item() for value in losses.scalars.values()), rel=1e-5)
