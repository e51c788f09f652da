"""What real images look like to the classifier, and how real ones score against real ones: -> data/reference."""

from __future__ import annotations

import numpy as np

from stages.scoring.features import images_to_features, load_classifier
from stages.scoring.fid import features_to_gaussian, gaussians_to_fid
from stages.scoring.inception_score import logits_to_inception_score
from stages.scoring.manifold import features_to_manifold
from stages.scoring.scores import features_to_scores
from stages.support.command import run_stage
from stages.support.device import prepare
from stages.support.errors import ParameterError
from stages.support.files import CLASSIFIER, REFERENCE, write_array, write_json
from stages.support.images import read_split
from stages.support.params import Params


def main(params: Params) -> None:
    """Features of test and validation images; what real images reach: as many training images in samples' place."""
    device = prepare(params, params.evaluate.seed)
    classifier = load_classifier(CLASSIFIER, device)
    train, validation, test = (read_split(name) for name in ("train", "validation", "test"))
    for key, count in {
        "sample.count": params.sample.count,
        "curves.snapshot_images": params.curves.snapshot_images,
    }.items():
        if count > len(train.images):
            raise ParameterError(
                f"params.yaml: {key}: {count} is not allowed: it takes as many training images to compare with, "
                f"and there are {len(train.images)}"
            )
    if params.evaluate.neighbours >= len(test.images):
        raise ParameterError(
            f"params.yaml: evaluate.neighbours: {params.evaluate.neighbours} is not allowed: "
            f"there are {len(test.images)} test images"
        )
    chosen = np.random.default_rng(params.evaluate.seed).permutation(len(train.images))
    count = max(params.sample.count, params.curves.snapshot_images)
    train_features, _ = images_to_features(classifier, train.images[chosen[:count]], device)
    validation_features, _ = images_to_features(classifier, validation.images, device)
    test_features, test_logits = images_to_features(classifier, test.images, device)

    options = params.evaluate
    manifold = features_to_manifold(test_features, options.neighbours)
    scores = features_to_scores(train_features[: params.sample.count], manifold, options)
    inception_score = logits_to_inception_score(test_logits, options.inception_splits, options.seed)
    scores["inception_score"], scores["inception_score_std"] = inception_score
    snapshot_fid = _fid(train_features[: params.curves.snapshot_images], validation_features)
    write_array(REFERENCE / "test_features.npy", test_features)
    write_array(REFERENCE / "test_squared_radii.npy", manifold.squared_radii)
    write_array(REFERENCE / "validation_features.npy", validation_features)
    write_json(REFERENCE / "real.json", {"scores": scores, "snapshot_fid": snapshot_fid})
    print("reference: real images:", ", ".join(f"{name} {value:.3f}" for name, value in scores.items()))


def _fid(features: np.ndarray, reference: np.ndarray) -> float:
    return gaussians_to_fid(features_to_gaussian(features), features_to_gaussian(reference))


if __name__ == "__main__":
    run_stage(main, __doc__)
