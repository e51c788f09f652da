"""What real images look like to the classifier, and how real ones score against real ones: -> data/reference."""

from __future__ import annotations

import numpy as np

from stages.scoring.features import images_to_features, load_classifier
from stages.scoring.fid import features_to_fid
from stages.scoring.manifold import features_to_manifold
from stages.scoring.memorisation import copies_threshold, find_nearest, to_points
from stages.scoring.scores import features_to_scores, logits_to_scores
from stages.scoring.usefulness import learn_and_test
from stages.settings.command import run_stage
from stages.settings.errors import ParameterError
from stages.settings.params import Params
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
    train_features, _ = images_to_features(classifier, train.images, device)
    validation_features, _ = images_to_features(classifier, validation.images, device)
    test_features, test_logits = images_to_features(classifier, test.images, device)

    order = np.random.default_rng(options.seed).permutation(len(train.images))
    stand_ins = train_features[order]
    manifold = features_to_manifold(test_features, options.neighbours)
    looked_up = slice(options.memorisation_samples)
    small_set = order[: options.usefulness.real_images]
    accuracies = {
        name: learn_and_test(
            Split(train.images[chosen], train.labels[chosen]),
            test,
            read_json(CLASSIFIER / "config.json"),
            getattr(options.usefulness.images, params.budget),
            device,
        )
        for name, chosen in {
            "classification_accuracy_real": order[:sample_count],
            "small_set_accuracy": small_set,
        }.items()
    }
    scores = features_to_scores(stand_ins[:sample_count], manifold, options)
    scores |= logits_to_scores(test_logits, options)
    real = {
        "scores": scores,
        "snapshot_fid": features_to_fid(stand_ins[: params.curves.snapshot_images], validation_features),
        "copies_threshold": {
            "pixels": copies_threshold(find_nearest(to_points(test.images[looked_up]), to_points(train.images))),
            "features": copies_threshold(find_nearest(test_features[looked_up], train_features)),
        },
        "accuracies": accuracies,
    }
    arrays = {
        "train_features": train_features,
        "validation_features": validation_features,
        "test_features": test_features,
        "test_squared_radii": manifold.squared_radii,
        "test_squared_nearest": manifold.squared_nearest,
        "small_set": small_set,
    }
    for name, array in arrays.items():
        write_array(REFERENCE / f"{name}.npy", array)
    write_json(REFERENCE / "real.json", real)
    print("reference: real images:", ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))


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
    if params.evaluate.neighbours >= test:
        raise ParameterError(
            f"params.yaml: evaluate.neighbours: {params.evaluate.neighbours} is not allowed: "
            f"there are {test} test images"
        )


if __name__ == "__main__":
    run_stage(main, __doc__)
