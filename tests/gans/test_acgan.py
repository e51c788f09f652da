"""Classes that the discriminator names, too: their cross entropies by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from torch import Tensor

from tests.builders import build_gan, real_batch


def cross_entropy(outputs: Tensor, chosen: Tensor) -> float:
    return float(-log_softmax(outputs.detach().numpy(), axis=1)[np.arange(len(chosen)), chosen.numpy()].mean())


def test_the_classes_cross_entropy_counts_in_both_losses() -> None:
    gan = build_gan("acgan", gan={"class_weight": 2.0, "fake_class_share": 0.5})
    real, labels = real_batch(6)
    fakes = gan.generate(labels)
    of_fakes, of_real = gan.discriminate(fakes.images, labels), gan.discriminate(real, labels)
    assert of_fakes.shape == (6, 11)
    found = gan.discriminator_auxiliary_losses(of_real, of_fakes, fakes, labels)
    fake_loss = cross_entropy(of_fakes[:, 1:], labels)
    assert found["real_class_loss"].item() == pytest.approx(2 * cross_entropy(of_real[:, 1:], labels), rel=1e-4)
    assert found["fake_class_loss"].item() == pytest.approx(2 * 0.5 * fake_loss, rel=1e-4)
    (generators,) = gan.generator_auxiliary_losses(of_fakes, fakes, labels).values()
    assert generators.item() == pytest.approx(2 * fake_loss, rel=1e-4)
    losses = gan.generator_loss(real, labels)
    assert losses.loss.item() == pytest.approx(sum(value.item() for value in losses.scalars.values()), rel=1e-5)
    losses = gan.discriminator_loss(real, labels)
    counted = ("discriminator_loss", "penalty", "real_class_loss", "fake_class_loss")
    assert losses.loss.item() == pytest.approx(sum(losses.scalars[name].item() for name in counted), rel=1e-5)
