"""Kuzushiji-MNIST: what its classes are called."""

from __future__ import annotations

from torchvision import datasets

from stages.datasets.kmnist import KMNIST


def test_names_are_those_that_torchvision_lists() -> None:
    assert list(KMNIST.classes) == datasets.KMNIST.classes
