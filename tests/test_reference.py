"""The real baseline: real images scored like samples, and scores for which there are too few images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from stages import reference
from stages.config.errors import ParameterError
from stages.config.params import Params, load
from stages.evaluation.feature_network import FeatureNetwork, images_to_features, load_classifier
from stages.scoring.code_accuracy import codes_to_accuracy
from stages.scoring.frechet import features_to_fid
from stages.scoring.inception_score import logits_to_inception_score
from stages.storage.files import read_array, read_json, rounded, write_bytes, write_json
from stages.storage.images import Split, read_split, write_split
from stages.storage.paths import CLASSIFIER, CONFIG, FEATURES, REAL_SCORES, WEIGHTS
from stages.storage.pixels import to_float
from stages.storage.weights import weights_to_bytes
from tests.conftest import ROOT

CLASSES = ("a", "b", "c")
COUNTS = {"train": 60, "validation": 40, "test": 50}


def change(part: Any, **values: Any) -> Any:
    return part.model_copy(update=values)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Random images of 12 × 12, and a classifier of random weights."""
    params = load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, count in COUNTS.items():
        images = random.integers(0, 256, (count, 1, 3, 3), np.uint8).repeat(4, axis=2).repeat(4, axis=3)
        write_split(name, Split(images, random.integers(0, 3, count), CLASSES))
    torch.manual_seed(0)
    shape = {"channels": 1, "height": 12, "width": 12, "base": 2, "features": 4, "classes": 3}
    network = FeatureNetwork(**shape).eval()
    norm = network.body[-2]
    assert isinstance(norm, torch.nn.BatchNorm1d)
    torch.nn.init.ones_(norm.bias)  # no feature is cut off by the last ReLU
    with torch.no_grad():  # the head is sure of its classes, and sees all of them
        std, mean = torch.std_mean(network.features(to_float(torch.from_numpy(read_split("train").images))), dim=0)
        network.head.weight.copy_(3 * torch.randn(3, 4) / std)
        network.head.bias.copy_(-network.head.weight @ mean)
    write_bytes(CLASSIFIER / WEIGHTS, weights_to_bytes(network))
    write_json(CLASSIFIER / CONFIG, {"network": shape, "training": params.classifier.model_dump(exclude={"images"})})
    downstream = change(params.downstream, images=change(params.classifier.images, smoke=256), real_images=9)
    fewer = {"kid_subsets": 3, "kid_subset_size": 20, "resamples": 3, "copies_samples": 20}
    return change(
        params,
        budget="smoke",
        device="cpu",
        training=change(params.training, snapshot_images=36),
        sample=change(params.sample, count=30),
        evaluate=change(params.evaluate, **fewer),
        downstream=downstream,
    )


def seen(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of a split, by the classifier."""
    device = torch.device("cpu")
    return images_to_features(load_classifier(CLASSIFIER, device), read_split(name).images, device)


def test_training_images_take_the_samples_place_but_where_the_classifier_learned_them(params: Params) -> None:
    reference.main(params)
    real = read_json(Path("data/reference/real.json"))
    values = {name: record["value"] for name, record in real["scores"].items()}
    order = np.random.default_rng(params.evaluate.seed).permutation(COUNTS["train"])
    subset, (test_features, test_logits) = order[:30], seen("test")
    assert np.ptp(test_features, axis=0).min() > 0
    assert values["fid"] == pytest.approx(rounded(features_to_fid(seen("train")[0][subset], test_features)))
    assert values["validation_fid"] == pytest.approx(
        rounded(features_to_fid(seen("train")[0][subset], seen("validation")[0]))
    )
    shares = np.bincount(seen("train")[1][subset].argmax(axis=1), minlength=3) / 30
    assert values["class_share"] == pytest.approx(rounded(dict(zip(CLASSES, map(float, shares), strict=True))))
    # of as many test images: these two, and codes as good as their labels
    test_logits, test_labels = test_logits[:30], read_split("test").labels[:30]
    expected, _ = logits_to_inception_score(test_logits, params.evaluate.inception_splits, params.evaluate.seed)
    assert values["inception_score"] == pytest.approx(rounded(float(expected)))
    assert values["label_accuracy"] == pytest.approx(rounded(float(np.mean(test_logits.argmax(axis=1) == test_labels))))
    assert values["code_accuracy"] == pytest.approx(rounded(codes_to_accuracy(test_labels, test_logits.argmax(axis=1))))
    assert {"classification_accuracy", "augmented_accuracy", "small_set_accuracy"} <= values.keys()
    # training images are no copies of training images, and no translations
    assert not {"copies_pixels", "copies_features", "paired_l1", "outline_fid", "inception_fid"} & values.keys()
    assert all("real" not in record for record in real["scores"].values())


def test_what_snapshots_and_copies_are_compared_with(params: Params) -> None:
    reference.main(params)
    real = read_json(Path("data/reference/real.json"))
    order = np.random.default_rng(params.evaluate.seed).permutation(COUNTS["train"])
    fid = features_to_fid(seen("train")[0][order[:36]], seen("validation")[0])
    expected, _ = logits_to_inception_score(seen("validation")[1][:36], 10, params.evaluate.seed)
    assert real["snapshots"] == pytest.approx(rounded({"fid": fid, "inception_score": expected}))
    for space, (points, others) in {
        "pixels": [read_split(name).images.reshape(-1, 144).astype(float) for name in ("test", "train")],
        "features": [seen(name)[0].astype(float) for name in ("test", "train")],
    }.items():
        distances = np.sort(cdist(points[:20], others), axis=1)
        threshold = np.quantile(distances[:, 0] / distances[:, 1], 0.01)
        assert real["copies_thresholds"][space] == pytest.approx(threshold, rel=1e-5)
    squared = cdist(seen("test")[0], seen("test")[0]) ** 2
    nearest = np.sort(squared, axis=1)[:, [1, params.evaluate.neighbours]].T  # the first is the image itself
    for array, expected_squares in zip(("squared_nearest", "squared_radii"), nearest, strict=True):
        assert read_array(Path(f"data/reference/features/test_{array}.npy")) == pytest.approx(
            expected_squares, rel=1e-6
        )


def test_all_of_the_test_images_reach_what_a_perfect_generator_would(params: Params) -> None:
    """The training images are the test images here: nothing can be nearer."""
    write_split("train", read_split("test"))
    everything = change(params, sample=change(params.sample, count=COUNTS["test"]))
    reference.main(everything)
    real = read_json(Path("data/reference/real.json"))
    values = {name: record["value"] for name, record in real["scores"].items()}
    assert values["fid"] == pytest.approx(0, abs=1e-6)
    assert {name: values[name] for name in ("precision", "recall", "coverage")} == {
        "precision": 1,
        "recall": 1,
        "coverage": 1,
    }
    assert real["copies_thresholds"] == {"pixels": 0, "features": 0}


def test_counts_beyond_the_data_mean_all_of_it(params: Params) -> None:
    """As for a small folder of images under the counts of MNIST."""
    more = change(
        params,
        sample=change(params.sample, count=10**4),
        training=change(params.training, snapshot_images=500),
        evaluate=change(params.evaluate, inception_splits=1000, kid_subset_size=1000, copies_samples=10**4),
        downstream=change(params.downstream, real_images=10**4),
    )
    reference.main(more)
    values = {name: record["value"] for name, record in read_json(REAL_SCORES)["scores"].items()}
    assert {"fid", "inception_score", "recall", "small_set_accuracy"} <= values.keys()
    assert values["inception_score"] == pytest.approx(1)  # one image per split


def test_the_fewest_images_that_a_data_set_may_have_are_scored(params: Params) -> None:
    """Six of each of two classes, split in three; FID cannot be extrapolated from so few."""
    for name in COUNTS:
        split = read_split(name)
        write_split(name, Split(split.images[:4], np.array([0, 1, 0, 1]), CLASSES))
    reference.main(params)
    scores = read_json(REAL_SCORES)["scores"]
    assert scores.keys() >= {"fid", "kid", "recall", "inception_score", "duplicates"}
    assert "fid_infinity" not in scores


def test_as_many_neighbours_as_there_are_other_test_images_are_compared(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    params = change(params, sample=change(params.sample, count=60))
    reference.main(change(params, evaluate=change(params.evaluate, neighbours=50)))
    told = "reference: evaluate.neighbours is 50; 49 are used: no test image has more"
    assert told in capsys.readouterr().out.splitlines()
    features, radii = (read_array(FEATURES / f"test_{part}.npy") for part in ("features", "squared_radii"))
    farthest = cdist(features, features, "sqeuclidean").max(axis=1)
    np.testing.assert_allclose(radii, farthest, rtol=1e-6)
    reference.main(change(params, evaluate=change(params.evaluate, neighbours=49)))
    assert "neighbours" not in capsys.readouterr().out
    assert np.array_equal(read_array(FEATURES / "test_squared_radii.npy"), radii)


def test_too_few_images_for_inception_are_told(params: Params) -> None:
    asked = change(params, evaluate=change(params.evaluate, inception_splits=50, inception_weights="download"))
    with pytest.raises(ParameterError) as refused:
        reference.main(asked)
    assert str(refused.value).splitlines() == [
        "params.yaml: evaluate.inception_weights: 'download' is not allowed: its features have 2048 dimensions, which "
        "take more than 50 test images",
    ]
    assert not Path("data/reference").exists()


def test_classifiers_that_learn_from_samples_are_tested_on_test_images(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested: list[np.ndarray] = []

    def learn_and_test(split: Split, test: Split, *others: Any) -> float:
        tested.append(test.images)
        return 0.5

    monkeypatch.setattr("stages.evaluation.evaluator.learn_and_test", learn_and_test)
    reference.main(params)
    assert len(tested) == 3
    assert all(np.array_equal(images, read_split("test").images) for images in tested)
