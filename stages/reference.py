"""Features of real images, and the real baseline of all scores: data/processed -> data/reference."""

from typing import Any

import numpy as np

from stages.config.command import run_stage
from stages.config.errors import ParameterError
from stages.config.params import INCEPTION_DIMS, Params
from stages.evaluation.evaluator import Evaluator, write_manifold
from stages.evaluation.inception import images_to_inception_features
from stages.scoring.image_set import ImageSet
from stages.scoring.score import REAL_QUANTILE, compute_scores, find_scores
from stages.storage.files import rounded, write_array, write_json
from stages.storage.images import Split, read_split
from stages.storage.paths import REAL_SCORES, TRAIN_FEATURES, VALIDATION_FEATURES
from stages.training.device import prepare


def main(params: Params) -> None:
    """Write features of real images, then score some of them in the samples' place."""
    device = prepare(params, params.evaluate.seed)
    evaluator = Evaluator(params, {}, device)
    train, validation, test = evaluator.train, read_split("validation"), evaluator.test
    check_count(evaluator)
    train_features, train_logits = evaluator.features_and_logits(train.images)
    validation_features, validation_logits = evaluator.features_and_logits(validation.images)
    test_features, test_logits = evaluator.features_and_logits(test.images)
    write_array(TRAIN_FEATURES, train_features)
    write_array(VALIDATION_FEATURES, validation_features)
    write_manifold("test", test_features, evaluator.neighbours)
    if evaluator.inception is not None:
        seen = images_to_inception_features(evaluator.inception, test.images, device)
        write_manifold("inception", seen, evaluator.neighbours)

    subset = evaluator.real_order[: params.sample.count]
    features, logits, training_set = train_features[subset], train_logits[subset], train.take(subset)
    real_images = {
        "training": evaluator.image_set(training_set.images, features, logits, training_set=training_set),
        "test": first_images(test, test_logits, params.sample.count),
    }
    scores: dict[str, Any] = {}
    for score in find_scores().values():
        scores |= compute_scores(real_images[score.baseline], evaluator.context, [score])
    in_snapshots = evaluator.real_order[: params.training.snapshot_images]
    nearest = evaluator.find_nearest(test.images, test_features)
    thresholds = {space: float(np.quantile(found.ratios, REAL_QUANTILE)) for space, found in nearest.items()}
    real = {
        "scores": scores,
        "snapshots": evaluator.score_snapshot(train_features[in_snapshots], validation_logits[: len(in_snapshots)]),
        "copies_thresholds": thresholds,
    }
    write_json(REAL_SCORES, rounded(real))
    if not all(thresholds.values()):
        print("reference: the data repeat themselves: over 1 % of test images are training images, too")
    fid, inception_score = (scores[name]["value"] for name in ("fid", "inception_score"))
    print(f"reference: real images: FID {fid:.3f}, inception score {inception_score:.3f}")


def first_images(test: Split, logits: np.ndarray, count: int) -> ImageSet:
    """The first `count` test images in the samples' place, and as codes that mean what they should."""
    labels = test.labels[:count]
    return ImageSet(pixels=test.images[:count], logits=logits[:count], labels=labels, codes=labels)


def check_count(evaluator: Evaluator) -> None:
    """Raise ParameterError where there are fewer test images than Inception's scores need; tell of fewer neighbours."""
    options, test = evaluator.options, len(evaluator.test.images)
    if (weights := options.inception_weights) != "none" and test <= INCEPTION_DIMS:
        reason = f"its features have {INCEPTION_DIMS} dimensions, which take more than {test} test images"
        raise ParameterError(f"params.yaml: evaluate.inception_weights: {weights!r} is not allowed: {reason}")
    if (asked := options.neighbours) > (used := evaluator.neighbours):
        print(f"reference: evaluate.neighbours is {asked}; {used} are used: no test image has more")


if __name__ == "__main__":
    run_stage(main, __doc__)
