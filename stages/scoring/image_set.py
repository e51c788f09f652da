"""What scores see: images under evaluation, and the context that they are compared with. Arrays, and no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.config.params import Evaluate
from stages.storage.images import Split


class ImageSet:
    """Images under evaluation, and what several scores need of them. Only what is given is there: see `offers`."""

    pixels: np.ndarray  # uint8 (images, channels, height, width)
    features: np.ndarray  # float32 (images, dims)
    logits: np.ndarray  # float32 (images, classes)
    votes: Mapping[str, np.ndarray]  # of precision, recall, density and coverage, from manifolds_to_votes
    squared_nearest: np.ndarray  # float64 (images,): squared distance of features to the nearest other image's
    nearest_ratios: Mapping[str, np.ndarray]  # in pixels and features: find_nearest among training images, of some
    labels: np.ndarray  # int64 (images,): the classes that were asked for
    codes: np.ndarray  # int64 (images,): InfoGAN's categorical codes
    training_set: Split  # the images and their labels, where a classifier may learn from them
    pairs: Mapping[str, np.ndarray]  # of a translator: the test images that its samples were made from
    cycles: Mapping[str, np.ndarray]  # of a two-way translator: test images in the other domain, and translations
    bicubic: ImageSet  # of a translator that enlarges: pixels and features of bicubic enlargements of its sources
    inception: tuple[ImageSet, Context]  # the same images and their context, by Inception's features

    def __init__(self, **given: Any) -> None:
        self.offers = frozenset(given)
        vars(self).update(given)

    @property
    def predicted(self) -> np.ndarray:
        """The class (images,) that the classifier sees in each image."""
        return self.logits.argmax(axis=1)

    @property
    def class_shares(self) -> np.ndarray:
        """Share of each class (classes,) among the images, as the classifier sees them; sums to 1."""
        return np.bincount(self.predicted, minlength=self.logits.shape[1]) / len(self.logits)


@dataclass(frozen=True)
class Context:
    """What images are compared with; features by the network that those of the images come from."""

    options: Evaluate
    classes: tuple[str, ...]  # names
    class_shares: np.ndarray  # (classes,): share of each among training images; sums to 1
    test_features: np.ndarray
    test_labels: np.ndarray
    test_squared_nearest: np.ndarray  # as an ImageSet's
    validation_features: np.ndarray
    small_set: Split  # some training images, for classifiers that learn from samples, too
    copies_thresholds: Mapping[str, float]  # in pixels and features: ratios that 1 % of test images stay below
    baseline: Mapping[str, Any]  # records of real images' scores; empty while they are computed
    train_and_test: Callable[[Split], float]  # accuracy on test images of a new classifier that learns from a set
