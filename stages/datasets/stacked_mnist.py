"""Stacked MNIST: three digits an image, so a thousand modes that can be counted (Metz et al., 2017, section 3.3.1)."""

import numpy as np
from typing_extensions import override

from stages.datasets.mnist import MNIST
from stages.storage.images import Split


class StackedMNIST(MNIST):
    """As many images as MNIST; the class is the number that the digits in the three channels make."""

    @override
    def finish(self, split: Split, random: np.random.Generator) -> Split:
        chosen = random.integers(len(split.images), size=(len(split.images), 3))
        numbers = tuple(f"{number:03}" for number in range(1000))
        return Split(split.images[chosen, 0], split.labels[chosen] @ [100, 10, 1], numbers, planes=3)
