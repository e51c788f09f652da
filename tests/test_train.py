"""Train: what is written, when it is measured, and what a diverged training says."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from stages import sample, train
from stages.adversarial.network import Translator
from stages.scoring.features import FeatureNetwork, images_to_features, load_classifier
from stages.settings.errors import StageError
from stages.settings.params import Params, load
from stages.support.files import (
    CLASSIFIER,
    PROCESSED,
    REFERENCE,
    read_array,
    read_json,
    write_array,
    write_bytes,
    write_json,
)
from stages.support.images import read_split, to_float, to_outlines, to_uint8
from stages.support.weights import weights_to_bytes


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Two dozen coloured images of 12 × 12 to train on for a few steps, untracked."""
    params = load()
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (24, 3, 12, 12), np.uint8)
    for split in ("train", "test"):
        write_array(PROCESSED / split / "images.npy", images)
        write_array(PROCESSED / split / "labels.npy", np.arange(24) % 4)
    changes = {
        "budget": "smoke",
        "curves": params.curves.model_copy(update={"points": 3, "snapshots": 2, "snapshot_images": 5}),
        "sample": params.sample.model_copy(update={"count": 11}),
        "tracking": params.tracking.model_copy(update={"enabled": False}),
        "variants": {
            name: variant.model_copy(
                update={"batch_size": 8, "images": variant.images.model_copy(update={"smoke": 40})}
            )
            for name, variant in params.variants.items()
        },
    }
    return params.model_copy(update=changes)


def test_a_run_leaves_models_curves_and_snapshots(params: Params) -> None:
    train.main(params, "dcgan")
    with Path("metrics/dcgan/losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["images"]) for row in rows] == [16, 32, 40]  # first step at or past each third of 40
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    snapshots = load_file("models/dcgan/snapshots.safetensors")
    assert snapshots["images_seen"].tolist() == [24, 40]
    assert snapshots["samples"].shape == (2, 5, 3, 12, 12)
    assert snapshots["samples"].dtype == np.uint8
    config = read_json(Path("models/dcgan/config.json"))
    assert (config["image_shape"], config["classes"]) == ([3, 12, 12], 4)
    weights = load_file("models/dcgan/generator.safetensors")
    assert config["receptive_field"] == [12, 12]
    learned = sum(value.size for key, value in weights.items() if "running" not in key and "num_" not in key)
    assert config["parameters"]["generator"] == learned


def test_the_last_snapshot_is_what_the_saved_generator_draws(params: Params) -> None:
    train.main(params, "cgan")
    drawing = params.sample.model_copy(update={"count": 5, "seed": params.curves.seed})
    sample.main(params.model_copy(update={"sample": drawing}), "cgan")
    images = read_array(Path("data/samples/cgan/images.npy"))
    assert np.array_equal(images, load_file("models/cgan/snapshots.safetensors")["samples"][-1])


@pytest.mark.parametrize(("name", "kind"), [("cgan", "labels"), ("infogan", "codes"), ("mlp", None)])
def test_what_was_asked_for_is_written_where_it_counts(params: Params, name: str, kind: str | None) -> None:
    train.main(params, name)
    sample.main(params, name)
    folder = Path("data/samples") / name
    images = read_array(folder / "images.npy")
    assert (images.shape, images.dtype) == ((11, 3, 12, 12), np.uint8)
    assert {path.stem for path in folder.iterdir()} == {"images", "about"} | ({kind} if kind else set())
    if kind:
        assert read_array(folder / f"{kind}.npy").tolist() == [index % 4 for index in range(11)]
    pictures = {path.stem for path in (Path("metrics") / name / "pictures").iterdir()}
    assert pictures == {"samples"} | ({"sweep_category", "sweep_code_1", "sweep_code_2"} if kind == "codes" else set())


def test_a_translator_translates_test_images_both_ways_and_back(params: Params) -> None:
    train.main(params, "cyclegan")
    sample.main(params, "cyclegan")
    arrays = {path.stem: read_array(path) for path in Path("data/samples/cyclegan").glob("*.npy")}
    shapes = {key: array.shape for key, array in arrays.items()}
    made = ("images", "outlines", "cycled_images", "cycled_outlines")
    assert shapes == dict.fromkeys(made, (11, 3, 12, 12)) | {"labels": (11,)}
    translator = sample.load_generator(Path("models/cyclegan"), torch.device("cpu")).eval()
    assert isinstance(translator, Translator)
    test = read_split("test")
    assert arrays["labels"].tolist() == test.labels[:11].tolist()
    digits = to_float(torch.from_numpy(test.images[:11]))
    with torch.no_grad():
        images = translator.translate(to_outlines(digits), "digits")
        expected = {
            "images": images,
            "outlines": translator.translate(digits, "outlines"),
            "cycled_images": translator.translate(translator.translate(digits, "outlines"), "digits"),
            "cycled_outlines": translator.translate(images, "outlines"),
        }
    for key, value in expected.items():
        assert np.abs(arrays[key].astype(int) - to_uint8(value).numpy()).max() <= 1, key
    assert {path.stem for path in Path("metrics/cyclegan/pictures").iterdir()} == {"samples", "translations"}


def test_two_trainings_write_the_same_bytes(params: Params) -> None:
    written = []
    for _ in range(2):
        train.main(params, "wgan_gp")
        files = [*Path("models/wgan_gp").iterdir(), Path("metrics/wgan_gp/losses.csv")]
        written.append({path.name: path.read_bytes() for path in files})
    assert len(written[0]) == 5
    assert written[0] == written[1]


def test_a_diverged_training_says_when_and_what_to_try(params: Params) -> None:
    variant = params.variants["wgan_gp"]
    wild = variant.regularizer.model_copy(update={"weight": 1e300})
    variants = params.variants | {"wgan_gp": variant.model_copy(update={"regularizer": wild})}
    with pytest.raises(StageError, match=r"wgan_gp diverged within \d+ images: .*; try") as error:
        train.main(params.model_copy(update={"variants": variants}), "wgan_gp")
    assert "\n" not in str(error.value)
    assert not Path("models/wgan_gp").exists()


def test_a_model_that_does_not_fit_its_config_is_refused(params: Params) -> None:
    train.main(params, "mlp")
    weights = Path("models/mlp/generator.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(StageError, match=r"generator\.safetensors"):
        sample.main(params, "mlp")


def with_seeds(params: Params, name: str, seeds: list[int]) -> Params:
    variants = params.variants | {name: params.variants[name].model_copy(update={"seeds": seeds})}
    return params.model_copy(update={"variants": variants})


def test_each_seed_is_trained_and_drawn_as_it_would_be_alone(params: Params) -> None:
    files = [Path("models/mlp/generator.safetensors"), Path("data/samples/mlp/images.npy")]
    alone = {}
    for seed in (3, 5):
        train.main(with_seeds(params, "mlp", [seed]), "mlp")
        sample.main(params, "mlp")
        alone[seed] = [path.read_bytes() for path in files]
    train.main(with_seeds(params, "mlp", [3, 5]), "mlp")
    sample.main(params, "mlp")
    assert [path.read_bytes() for path in files] == alone[3] != alone[5]
    assert [(path.parent / "seed_5" / path.name).read_bytes() for path in files] == alone[5]
    with Path("metrics/mlp/losses.csv").open() as file:
        rows = [(row["seed"], row["images"]) for row in csv.DictReader(file)]
    assert rows == [(seed, images) for seed in ("3", "5") for images in ("16", "32", "40")]
    assert Path("metrics/mlp/pictures/seed_5/samples.png").exists()


def test_the_best_checkpoint_is_the_snapshot_nearest_to_validation_images(params: Params) -> None:
    """Validation images are made to look like the first of two snapshots, so that it is the best, not the last."""
    chosen = params.model_copy(update={"curves": params.curves.model_copy(update={"checkpoint": "best"})})
    train.main(chosen, "dcgan")
    snapshots = load_file("models/dcgan/snapshots.safetensors")
    last = load_file("models/dcgan/generator.safetensors")
    assert all(np.array_equal(snapshots[f"generator.{key}"][-1], value) for key, value in last.items())
    torch.manual_seed(0)
    shape = {"channels": 3, "height": 12, "width": 12, "base": 2, "features": 4, "classes": 4}
    network = FeatureNetwork(**shape)
    write_bytes(CLASSIFIER / "weights.safetensors", weights_to_bytes(network))
    write_json(CLASSIFIER / "config.json", {"network": shape})
    classifier = load_classifier(CLASSIFIER, torch.device("cpu"))
    features, _ = images_to_features(classifier, snapshots["samples"][0], torch.device("cpu"))
    write_array(REFERENCE / "validation_features.npy", features)
    sample.main(chosen, "dcgan")
    drawn = load_file("data/samples/dcgan/generator.safetensors")
    assert all(np.array_equal(snapshots[f"generator.{key}"][0], value) for key, value in drawn.items())
    assert read_json(Path("data/samples/dcgan/about.json")) == {
        "label_role": "ignored",
        "translates": False,
        "checkpoint_images": 24,
    }
    best = read_array(Path("data/samples/dcgan/images.npy"))
    sample.main(params, "dcgan")
    assert not np.array_equal(best, read_array(Path("data/samples/dcgan/images.npy")))
