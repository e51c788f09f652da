"""Fashion-MNIST: what its classes are called."""

from __future__ import annotations

from torchvision import datasets

from stages.datasets.fashion_mnist import FashionMNIST


def test_names_are_those_that_torchvision_lists() -> None:
    assert list(FashionMNIST.classes) == datasets.FashionMNIST.classes
