"""From images to what scores see, with the feature networks and the real images of data/reference."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from stages.config.params import Params
from stages.evaluation.classifier_training import learn_and_test
from stages.evaluation.feature_network import batch_size, images_to_features, load_classifier
from stages.evaluation.inception import images_to_inception_features, load_inception
from stages.evaluation.manifold import Manifold, features_to_manifold, manifolds_to_votes
from stages.evaluation.neighbours import Nearest, find_nearest
from stages.scoring.frechet import features_to_fid
from stages.scoring.image_set import Context, ImageSet
from stages.scoring.inception_score import at_most, logits_to_inception_score
from stages.storage.files import read_array, read_json, write_array
from stages.storage.images import read_split
from stages.storage.paths import CLASSIFIER, CONFIG, FEATURES, TRAIN_FEATURES, VALIDATION_FEATURES
from stages.training import processes

MOST_COMPARED = 50_000  # samples whose distances to all others are taken; the papers take as many


class Evaluator:
    """The networks and the real images: the same for samples and for the real baseline.

    `real` is the content of real.json, empty while the reference is made. Features of real images are read from
    data/reference when they are first needed.
    """

    def __init__(self, params: Params, real: Mapping[str, Any], device: torch.device) -> None:
        self.options, self.downstream, self.budget = params.evaluate, params.downstream, params.budget
        self.real, self.device = real, device
        self.train, self.test = read_split("train"), read_split("test")
        self.classifier = load_classifier(CLASSIFIER, device)
        self.neighbours = min(self.options.neighbours, len(self.test.images) - 1)
        # training images shuffled: the first ones take the samples' place
        self.real_order = np.random.default_rng(self.options.seed).permutation(len(self.train.images))

    @cached_property
    def inception(self) -> nn.Module | None:
        """The second feature network, where scores by its features can be had."""
        network = load_inception(self.options.inception_weights, self.device)
        if network is None or not self.real or (FEATURES / "inception_features.npy").exists():
            return network
        again = "dvc repro --single-item --force reference"
        print(f"inception: data/reference lacks its features: {again}", file=sys.stderr)
        return None

    @cached_property
    def train_features(self) -> np.ndarray:
        """float32 (images, dims)."""
        return read_array(TRAIN_FEATURES)

    @cached_property
    def context(self) -> Context:
        """What samples are compared with, by the classifier's features."""
        manifold, config = read_manifold("test"), read_json(CLASSIFIER / CONFIG)
        images = getattr(self.downstream.images, self.budget)
        return Context(
            options=self.options,
            classes=self.train.classes,
            class_shares=np.bincount(self.train.labels, minlength=len(self.train.classes)) / len(self.train.labels),
            test_features=manifold.features,
            test_labels=self.test.labels,
            test_squared_nearest=manifold.squared_nearest,
            validation_features=read_array(VALIDATION_FEATURES),
            small_set=self.train.take(self.real_order[: self.downstream.real_images]),
            copies_thresholds=self.real.get("copies_thresholds", {}),
            baseline=self.real.get("scores", {}),
            train_and_test=lambda split: learn_and_test(split, self.test, config, images, self.device),
        )

    def features_and_logits(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (count, dims) and logits (count, classes) of uint8 images, by the classifier."""
        return images_to_features(self.classifier, images, self.device)

    def features_and_logits_together(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `features_and_logits`; with several processes each takes some of the images, and the first gets all."""
        own = images[processes.own_rows(len(images), batch_size(images))]
        some = own if len(own) else images[:1]  # an array of no images must have the shape of others
        features, logits = self.features_and_logits(some)
        return processes.gather(features[: len(own)]), processes.gather(logits[: len(own)])

    def score_snapshot(self, features: np.ndarray, logits: np.ndarray) -> dict[str, float]:
        """FID against validation images and inception score of a snapshot's features and logits (images, …)."""
        logits = at_most(logits, len(self.context.validation_features))  # as many as the real baseline has
        splits = min(self.options.inception_splits, len(logits))
        return {
            "fid": features_to_fid(features, self.context.validation_features),
            "inception_score": logits_to_inception_score(logits, splits, self.options.seed)[0],
        }

    def find_nearest(self, pixels: np.ndarray, features: np.ndarray) -> dict[str, Nearest]:
        """The nearest training images of the first `copies_samples` images, in pixels and in features."""
        first = slice(self.options.copies_samples)
        return {
            "pixels": find_nearest(pixels[first], self.train.images),
            "features": find_nearest(features[first], self.train_features),
        }

    def image_set(self, pixels: np.ndarray, features: np.ndarray, logits: np.ndarray, **given: Any) -> ImageSet:
        """Images with all that scores need of their features, and what else is given of them."""
        if self.inception is not None:
            real = read_manifold("inception")
            context = replace(self.context, test_features=real.features, test_squared_nearest=real.squared_nearest)
            seen = images_to_inception_features(self.inception, pixels, self.device)
            given["inception"] = ImageSet(**self._compare(seen, real)), context
        return ImageSet(pixels=pixels, logits=logits, **self._compare(features, read_manifold("test")), **given)

    def _compare(self, features: np.ndarray, real: Manifold) -> dict[str, Any]:
        samples = features_to_manifold(features[:MOST_COMPARED], self.neighbours)
        votes = manifolds_to_votes(samples, real, self.neighbours)
        return {"features": features, "squared_nearest": samples.squared_nearest, "votes": votes}


def read_manifold(name: str) -> Manifold:
    """A manifold of test images: `test` by the classifier's features, `inception` by Inception's."""
    return Manifold(*(read_array(FEATURES / f"{name}_{part}.npy") for part in Manifold._fields))


def write_manifold(name: str, features: np.ndarray, neighbours: int) -> None:
    """The inverse, from features (images, dims): writes `<name>_features.npy` and so on."""
    for part, array in features_to_manifold(features, neighbours)._asdict().items():
        write_array(FEATURES / f"{name}_{part}.npy", array)
