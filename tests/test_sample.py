"""Sample: what is drawn, and from which checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from stages import sample, train
from stages.config.errors import StageError
from stages.config.params import Params
from stages.evaluation.feature_network import FeatureNetwork, images_to_features, load_classifier
from stages.sampling.loading import load_generator
from stages.storage.files import read_array, read_json, write_array, write_bytes, write_json
from stages.storage.images import read_split
from stages.storage.paths import CLASSIFIER, CONFIG, LABELS, PROCESSED, REFERENCE, WEIGHTS
from stages.storage.pixels import to_float, to_outlines, to_uint8
from stages.storage.weights import weights_to_bytes

CPU = torch.device("cpu")
ALWAYS = {"images", "checkpoint", "snapshot_features", "snapshot_logits"}


@pytest.fixture
def params(small_params: Params) -> Params:
    """The small data set's parameters, and a classifier with random weights."""
    torch.manual_seed(0)
    shape = {"channels": 3, "height": 12, "width": 12, "base": 2, "features": 4, "classes": 4}
    write_bytes(CLASSIFIER / WEIGHTS, weights_to_bytes(FeatureNetwork(**shape)))
    write_json(CLASSIFIER / CONFIG, {"network": shape})
    return small_params


def test_the_last_snapshot_is_what_the_saved_generator_draws(params: Params) -> None:
    write_array(PROCESSED / "train" / LABELS, np.repeat([0, 1, 2, 3], [12, 8, 2, 2]))  # the test split's are even
    train.main(params, "cgan")
    sample.main(params, "cgan")
    images = read_array(Path("data/samples/cgan/images.npy"))
    generator = load_generator(Path("models/cgan"), CPU)
    labels = torch.from_numpy(read_array(Path("data/samples/cgan/labels.npy")))
    assert torch.bincount(labels).tolist() == [5, 4, 1, 1]
    rows = generator.sample_rows(range(2 * 10**7, 2 * 10**7 + 11), labels)
    assert np.array_equal(images, to_uint8(rows).numpy())
    of_snapshot = torch.tensor([0, 1, 0, 1, 0])
    snapshot = generator.sample(of_snapshot, seed=params.training.snapshot_seed)
    assert np.array_equal(to_uint8(snapshot), load_file("models/cgan/snapshots.safetensors")["samples"][-1])
    assert read_json(Path("data/samples/cgan/checkpoint.json")) == {"images": 40, "rule": "last"}


def test_samples_are_truncated_as_params_yaml_asks(params: Params) -> None:
    train.main(params, "mlp")
    sample.main(params.model_copy(update={"sample": params.sample.model_copy(update={"truncation": 0.5})}), "mlp")
    generator, labels = load_generator(Path("models/mlp"), CPU), torch.zeros(11, dtype=torch.int64)
    rows = generator.sample_rows(range(2 * 10**7, 2 * 10**7 + 11), labels, truncation=0.5)
    assert np.array_equal(read_array(Path("data/samples/mlp/images.npy")), to_uint8(rows).numpy())


@pytest.mark.parametrize(("name", "kind", "many"), [("cgan", "labels", 4), ("infogan", "codes", 10), ("mlp", None, 0)])
def test_what_was_asked_for_is_written_where_it_counts(params: Params, name: str, kind: str | None, many: int) -> None:
    train.main(params, name)
    sample.main(params, name)
    folder = Path("data/samples") / name
    images = read_array(folder / "images.npy")
    assert (images.shape, images.dtype) == ((11, 3, 12, 12), np.uint8)
    assert {path.stem for path in folder.iterdir()} == ALWAYS | ({kind} if kind else set())
    if kind:
        assert read_array(folder / f"{kind}.npy").tolist() == [index % many for index in range(11)]
    pictures = {path.stem for path in (Path("metrics/variants") / name / "pictures").iterdir()}
    assert pictures == {"samples", "interpolations"} | (
        {"sweep_category", "sweep_code_1", "sweep_code_2"} if kind == "codes" else set()
    )


@pytest.mark.parametrize(("asked", "real", "drawn"), [(10, 9_999, 10), (10_000, 9_999, 9_999), (10**6, 10_000, 10**6)])
def test_only_few_training_images_limit_the_samples(asked: int, real: int, drawn: int) -> None:
    assert sample.count_samples(asked, real) == drawn


def test_more_samples_than_training_images_can_be_drawn(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = params.model_copy(update={"sample": params.sample.model_copy(update={"count": 50})})
    training_images = len(read_split("train").images)
    train.main(params, "mlp")
    counts = []
    for few in (training_images + 1, training_images):
        monkeypatch.setattr(sample, "FEW", few)
        sample.main(asked, "mlp")
        counts.append(len(read_array(Path("data/samples/mlp/images.npy"))))
    assert counts == [training_images, 50]


def test_features_of_snapshots_are_the_classifiers(params: Params) -> None:
    train.main(params, "mlp")
    sample.main(params, "mlp")
    snapshots = load_file("models/mlp/snapshots.safetensors")["samples"]
    features, logits = (read_array(Path(f"data/samples/mlp/snapshot_{kind}.npy")) for kind in ("features", "logits"))
    assert (features.shape, logits.shape) == ((2, 5, 4), (2, 5, 4))
    expected = images_to_features(load_classifier(CLASSIFIER, CPU), snapshots[0], CPU)
    assert np.array_equal(features[0], expected[0])
    assert np.array_equal(logits[0], expected[1])


def test_a_translator_translates_test_images_both_ways_and_back(params: Params) -> None:
    train.main(params, "cyclegan")
    sample.main(params, "cyclegan")
    made = ("images", "outlines", "cycled_images", "cycled_outlines")
    arrays = {name: read_array(Path(f"data/samples/cyclegan/{name}.npy")) for name in (*made, "labels")}
    assert {key: array.shape for key, array in arrays.items()} == dict.fromkeys(made, (11, 3, 12, 12)) | {
        "labels": (11,)
    }
    translator = load_generator(Path("models/cyclegan"), CPU).eval()
    test = read_split("test")
    assert arrays["labels"].tolist() == test.labels[:11].tolist()
    digits = to_float(torch.from_numpy(test.images[:11]))
    translate = translator.get_submodule("to_digits"), translator.get_submodule("to_outlines")
    with torch.no_grad():
        images, outlines = translate[0](to_outlines(digits)), translate[1](digits)
        cycled_images, cycled_outlines = translate[0](outlines), translate[1](images)
    expected = dict(zip(made, (images, outlines, cycled_images, cycled_outlines), strict=True))
    for key, value in expected.items():
        assert np.abs(arrays[key].astype(int) - to_uint8(value).numpy()).max() <= 1, key
    assert {path.stem for path in Path("metrics/variants/cyclegan/pictures").iterdir()} == {"samples", "translations"}


@pytest.mark.parametrize(("name", "more"), [("pix2pix", set()), ("srgan", {"bicubic"})])
def test_a_one_way_translator_makes_images_from_sources_of_test_images(
    params: Params, name: str, more: set[str]
) -> None:
    train.main(params, name)
    sample.main(params, name)
    folder = Path("data/samples") / name
    assert {path.stem for path in folder.iterdir()} == ALWAYS | {"labels"} | more
    translator: Any = load_generator(Path("models") / name, CPU).eval()
    test = read_split("test")
    with torch.no_grad():
        made = translator(translator.source(to_float(torch.from_numpy(test.images[:11]))), torch.zeros(11))
    assert np.abs(read_array(folder / "images.npy").astype(int) - to_uint8(made).numpy()).max() <= 1
    assert read_array(folder / "labels.npy").tolist() == test.labels[:11].tolist()
    assert all(read_array(folder / f"{one}.npy").shape == (11, 3, 12, 12) for one in more)
    pictures = Path("metrics/variants") / name / "pictures"
    assert {path.stem for path in pictures.iterdir()} == {"samples", "translations"}


def test_a_model_that_does_not_fit_its_config_is_refused(params: Params) -> None:
    train.main(params, "mlp")
    weights = Path("models/mlp/generator.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(StageError, match=r"generator\.safetensors"):
        sample.main(params, "mlp")


def test_each_seed_is_drawn_as_it_would_be_alone(params: Params) -> None:
    def with_seeds(*seeds: int) -> Params:
        return params.model_copy(update={"training": params.training.model_copy(update={"seeds": list(seeds)})})

    images, alone = Path("data/samples/mlp/images.npy"), {}
    for seed in (3, 5):
        train.main(with_seeds(seed), "mlp")
        sample.main(params, "mlp")
        alone[seed] = images.read_bytes()
    train.main(with_seeds(3, 5), "mlp")
    sample.main(params, "mlp")
    assert images.read_bytes() == alone[3] != alone[5]
    assert (images.parent / "seed_5" / images.name).read_bytes() == alone[5]
    assert Path("metrics/variants/mlp/pictures/seed_5/samples.png").exists()


def test_the_best_checkpoint_is_the_snapshot_nearest_to_validation_images(params: Params) -> None:
    """Validation images are made to look like the first of two snapshots, so that it is the best, not the last."""
    best = params.model_copy(update={"training": params.training.model_copy(update={"checkpoint": "best"})})
    train.main(best, "dcgan")
    snapshots = load_file("models/dcgan/snapshots.safetensors")
    last = load_file("models/dcgan/generator.safetensors")
    assert all(np.array_equal(snapshots[f"generator.{key}"][-1], value) for key, value in last.items())
    features, _ = images_to_features(load_classifier(CLASSIFIER, CPU), snapshots["samples"][0], CPU)
    write_array(REFERENCE / "validation_features.npy", features)
    sample.main(best, "dcgan")
    assert read_json(Path("data/samples/dcgan/checkpoint.json")) == {"images": 24, "rule": "best"}
    drawn = read_array(Path("data/samples/dcgan/images.npy"))
    labels = torch.arange(11) % 4
    generator = load_generator(Path("models/dcgan"), CPU, 24)
    expected = generator.sample_rows(range(2 * 10**7, 2 * 10**7 + 11), labels)
    assert np.array_equal(drawn, to_uint8(expected).numpy())
    sample.main(params, "dcgan")
    assert not np.array_equal(drawn, read_array(Path("data/samples/dcgan/images.npy")))
