"""The published data sets: which raw files they come in."""

from __future__ import annotations

from typing import NamedTuple


class Pair(NamedTuple):
    """Names of an IDX file of images and one of their labels."""

    images: str
    labels: str


class Dataset(NamedTuple):
    """A published data set."""

    torchvision_class: str  # which downloads it
    train: Pair
    test: Pair
    test_images: int | None = None  # the first so many, where not all of the file are the test set

    @property
    def files(self) -> tuple[str, ...]:
        """All raw files."""
        return (*self.train, *self.test)


TRAIN = Pair("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = Pair("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DATASETS = {
    "mnist": Dataset("MNIST", TRAIN, TEST),  # LeCun et al., 1998
    "fashion_mnist": Dataset("FashionMNIST", TRAIN, TEST),  # Xiao et al., 2017
    "kmnist": Dataset("KMNIST", TRAIN, TEST),  # Clanuwat et al., 2018
    "qmnist": Dataset(  # Yadav and Bottou, 2019; its first test images are MNIST's
        "QMNIST",
        Pair("qmnist-train-images-idx3-ubyte", "qmnist-train-labels-idx2-int"),
        Pair("qmnist-test-images-idx3-ubyte", "qmnist-test-labels-idx2-int"),
        10000,
    ),
    "stacked_mnist": Dataset("MNIST", TRAIN, TEST),  # Metz et al., 2017: three digits are the colours of an image
}
