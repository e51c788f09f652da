"""What real images look like to the classifier, and how real ones score against real ones: -> data/reference."""

from __future__ import annotations

import numpy as np
import torch

from stages.scoring.classes import score_classes
from stages.scoring.features import images_to_features, load_classifier
from stages.scoring.fid import features_to_fid
from stages.scoring.inception import images_to_inception_features, load_inception
from stages.scoring.inception_score import logits_to_inception_score
from stages.scoring.manifold import Manifold, features_to_manifold
from stages.scoring.memorisation import copies_threshold, find_nearest, to_points
from stages.scoring.scores import features_to_scores, logits_to_scores
from stages.scoring.usefulness import join_evenly, learn_and_test
from stages.settings.command import run_stage
from stages.settings.errors import ParameterError
from stages.settings.params import INCEPTION_DIMS, Evaluate, Params
from stages.support.device import prepare
from stages.support.files import CLASSIFIER, REFERENCE, read_json, write_array, write_json
from stages.support.images import Split, read_split


def main(params: Params) -> None:
    """Features of real images; what real ones reach: as many training images in samples' place."""
    device = prepare(params, params.evaluate.seed)
    options, sample_count = params.evaluate, params.sample.count
    classifier = load_classifier(CLASSIFIER, device)
    train, validation, test = (read_split(name) for name in ("train", "validation", "test"))
    check_counts(params, len(train.images), len(test.images))
    train_features, train_logits = images_to_features(classifier, train.images, device)
    validation_features, validation_logits = images_to_features(classifier, validation.images, device)
    test_features, test_logits = images_to_features(classifier, test.images, device)

    order = np.random.default_rng(options.seed).permutation(len(train.images))
    stand_ins, in_snapshots = order[:sample_count], order[: params.curves.snapshot_images]
    few = order[: options.usefulness.real_images]
    many_split, few_split = (Split(train.images[chosen], train.labels[chosen]) for chosen in (stand_ins, few))
    manifold = features_to_manifold(test_features, options.neighbours)
    predicted = train_logits[stand_ins].argmax(axis=1)
    scores = {
        **features_to_scores(train_features[stand_ins], manifold, options),
        **logits_to_scores(test_logits, options),
        **score_classes(train_features[stand_ins], predicted, test_features, test.labels, train.classes),
        "validation_fid": features_to_fid(train_features[stand_ins], validation_features),
    }
    looked_up = slice(options.memorisation_samples)
    inception_scores, inception_manifold = score_by_inception(train.images[stand_ins], test.images, options, device)
    real = {
        "scores": scores,
        "snapshots": {
            "fid": features_to_fid(train_features[in_snapshots], validation_features),
            "inception_score": logits_to_inception_score(
                validation_logits[: len(in_snapshots)], min(options.inception_splits, len(in_snapshots)), options.seed
            )[0],
        },
        "copies_threshold": {
            "pixels": copies_threshold(find_nearest(to_points(test.images[looked_up]), to_points(train.images))),
            "features": copies_threshold(find_nearest(test_features[looked_up], train_features)),
        },
        "label_accuracy": float(np.mean(test_logits.argmax(axis=1) == test.labels)),
        "usefulness": {
            "classification_accuracy_real": learn_from(many_split, test, params, device),
            "augmented_accuracy_real": learn_from(join_evenly(few_split, many_split), test, params, device),
            "small_set_accuracy": learn_from(few_split, test, params, device),
        },
        "inception_scores": inception_scores,
    }
    write_array(REFERENCE / "train_features.npy", train_features)
    write_array(REFERENCE / "validation_features.npy", validation_features)
    write_array(REFERENCE / "small_set.npy", few)
    write_manifold("test", manifold)
    if inception_manifold is not None:
        write_manifold("inception", inception_manifold)
    write_json(REFERENCE / "real.json", real)
    print(f"reference: real images: FID {scores['fid']:.3f}, inception score {scores['inception_score']:.3f}")


def learn_from(train: Split, test: Split, params: Params, device: torch.device) -> float:
    """Accuracy on test images of a classifier that learns from some training images."""
    images = getattr(params.evaluate.usefulness.images, params.budget)
    return learn_and_test(train, test, read_json(CLASSIFIER / "config.json"), images, device)


def score_by_inception(
    stand_ins: np.ndarray, test: np.ndarray, options: Evaluate, device: torch.device
) -> tuple[dict[str, float], Manifold | None]:
    """Scores of training images in samples' place, `inception_…`, and the test images' manifold: where asked for."""
    network = load_inception(options.inception, device)
    if network is None:
        return {}, None
    manifold = features_to_manifold(images_to_inception_features(network, test, device), options.neighbours)
    scores = features_to_scores(images_to_inception_features(network, stand_ins, device), manifold, options)
    return {f"inception_{name}": value for name, value in scores.items()}, manifold


def write_manifold(name: str, manifold: Manifold) -> None:
    """Write `<name>_features.npy` and so on."""
    for part, array in manifold._asdict().items():
        write_array(REFERENCE / f"{name}_{part}.npy", array)


def check_counts(params: Params, train: int, test: int) -> None:
    """Raise ParameterError where more images are asked for than there are."""
    wanted = {
        "sample.count": params.sample.count,
        "curves.snapshot_images": params.curves.snapshot_images,
        "evaluate.usefulness.real_images": params.evaluate.usefulness.real_images,
    }
    for key, count in wanted.items():
        if count > train:
            raise ParameterError(
                f"params.yaml: {key}: {count} is not allowed: it takes as many training images to compare with, "
                f"and there are {train}"
            )
    limits = {f"evaluate.{key}": getattr(params.evaluate, key) for key in ("neighbours", "inception_splits")}
    for key, count in limits.items():
        if count >= test:
            raise ParameterError(f"params.yaml: {key}: {count} is not allowed: there are {test} test images")
    weights = params.evaluate.inception.weights
    if weights != "none" and test <= INCEPTION_DIMS:
        raise ParameterError(
            f"params.yaml: evaluate.inception.weights: {weights!r} is not allowed: its features have {INCEPTION_DIMS} "
            f"dimensions, which take more images than the {test} test images"
        )


if __name__ == "__main__":
    run_stage(main, __doc__)
