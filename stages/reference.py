"""What real images look like to the classifier, and how real ones score against real ones: -> data/reference."""

from __future__ import annotations

import numpy as np

from stages.scoring.features import images_to_features, load_classifier
from stages.scoring.fid import features_to_gaussian, gaussians_to_fid
from stages.scoring.inception_score import logits_to_inception_score
from stages.support.command import run_stage
from stages.support.device import prepare
from stages.support.errors import ParameterError
from stages.support.files import CLASSIFIER, REFERENCE, write_array, write_json
from stages.support.images import read_split
from stages.support.params import Params


def main(params: Params) -> None:
    """Features of test and validation images; the floor of each FID: as many training images in samples' place."""
    device = prepare(params, params.evaluate.seed)
    classifier = load_classifier(CLASSIFIER, device)
    train, validation, test = (read_split(name) for name in ("train", "validation", "test"))
    for key, count in {
        "sample.count": params.sample.count,
        "curves.snapshot_images": params.curves.snapshot_images,
    }.items():
        if count > len(train.images):
            raise ParameterError(
                f"params.yaml: {key}: {count} is not allowed: the floor needs as many training images, "
                f"and there are {len(train.images)}"
            )
    chosen = np.random.default_rng(params.evaluate.seed).permutation(len(train.images))
    count = max(params.sample.count, params.curves.snapshot_images)
    train_features, _ = images_to_features(classifier, train.images[chosen[:count]], device)
    validation_features, _ = images_to_features(classifier, validation.images, device)
    test_features, test_logits = images_to_features(classifier, test.images, device)

    splits, seed = params.evaluate.inception_splits, params.evaluate.seed
    inception_score, inception_score_std = logits_to_inception_score(test_logits, splits, seed)
    floor = {
        "fid": _fid(train_features[: params.sample.count], test_features),
        "snapshot_fid": _fid(train_features[: params.curves.snapshot_images], validation_features),
        "inception_score": inception_score,
        "inception_score_std": inception_score_std,
    }
    write_array(REFERENCE / "test_features.npy", test_features)
    write_array(REFERENCE / "validation_features.npy", validation_features)
    write_json(REFERENCE / "real.json", floor)
    print("reference: real images:", ", ".join(f"{name} {value:.3f}" for name, value in floor.items()))


def _fid(features: np.ndarray, reference: np.ndarray) -> float:
    return gaussians_to_fid(features_to_gaussian(features), features_to_gaussian(reference))


if __name__ == "__main__":
    run_stage(main, __doc__)
