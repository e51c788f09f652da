"""Stacked MNIST: three digits per image, so 1,000 modes that can be counted (Metz et al., 2017, section 3.3.1)."""

import numpy as np
from typing_extensions import override

from stages.datasets import dataset, idx
from stages.storage.images import Split


class StackedMNIST(idx.IDXFiles, dataset.Dataset):
    """As many images as MNIST, from its files; the class is the number that the digits in the three channels make."""

    torchvision_class = "MNIST"
    classes = tuple("0123456789")
    files = (  # as in mnist.py: fetch depends only on the file of its own data set
        ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    )
    hashes_of_content = True

    @override
    def finish(self, split: Split, random: np.random.Generator) -> Split:
        chosen = random.integers(len(split.images), size=(len(split.images), 3))
        numbers = tuple(f"{number:03}" for number in range(1000))
        return Split(split.images[chosen, 0], split.labels[chosen] @ [100, 10, 1], numbers, planes=3)
