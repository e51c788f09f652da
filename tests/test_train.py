"""Train: what is written, when it is measured, and what a diverged training says."""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient
from safetensors.numpy import load_file

from stages import sample, train
from stages.adversarial.checkpoints import Checkpoints
from stages.adversarial.engine import Engine
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
from tests.conftest import ROOT


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
    says = r"wgan_gp \(seed 0\) diverged by step 2 \(16 images\): NaN or infinite: .*discriminator_loss.*; try a lower"
    with pytest.raises(StageError, match=says) as error:
        train.main(params.model_copy(update={"variants": variants}), "wgan_gp")
    assert "\n" not in str(error.value)
    assert not Path("models/wgan_gp").exists()
    assert Path("metrics/wgan_gp/losses.csv").read_text() == "seed,images\n"  # it broke before the first reading


def break_third_step(monkeypatch: pytest.MonkeyPatch, player: str, value: float) -> None:
    """From now on, one weight is that value after 24 images, where a reading is not due."""
    step = Engine.step

    def broken(engine: Engine) -> None:
        step(engine)
        if engine.seen == 24:
            list(getattr(engine.game, player).parameters())[-1].data.view(-1)[-1] = value

    monkeypatch.setattr(Engine, "step", broken)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_one_broken_weight_ends_a_training_and_leaves_the_last_good_checkpoint_and_curve(
    player: str, value: float, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: True)
    with monkeypatch.context() as patched:
        break_third_step(patched, player, value)
        with pytest.raises(StageError, match=rf"diverged by step 3 \(24 images\): .*: {player}'s weights; try"):
            train.main(params, "mlp")
    with Path("metrics/mlp/losses.csv").open() as file:
        assert [row["images"] for row in csv.DictReader(file)] == ["16"]
    states = sorted(Path(".cache/resume/mlp").rglob("*.safetensors"))
    assert [int(path.name.split("-")[0]) for path in states] == [8, 16]
    steps = watch_steps(monkeypatch)
    train.main(params, "mlp")
    assert steps == [16, 24, 32]


def test_a_diverged_training_is_a_failed_run_with_its_curve(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    break_third_step(monkeypatch, "generator", math.nan)
    tracking = params.tracking.model_copy(update={"enabled": True, "wait_seconds": 120})
    with pytest.raises(StageError, match=r"mlp .* diverged"):
        train.main(params.model_copy(update={"tracking": tracking}), "mlp")
    client = MlflowClient(f"sqlite:///{Path('mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name(tracking.experiment)
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FAILED"
    assert [point.step for point in client.get_metric_history(found.info.run_id, "generator_loss")] == [16]


class Killed(BaseException):
    """In the place of what ends a process."""


def outputs(name: str) -> dict[str, bytes]:
    """Every file that a training leaves, by its path."""
    files = [path for path in Path("models", name).rglob("*") if path.is_file()]
    return {str(path): path.read_bytes() for path in [*files, Path("metrics", name, "losses.csv")]}


def train_and_be_killed(params: Params, name: str, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Train with a state written after every step, and end within the step after `after` others."""
    steps = 0
    step = Engine.step

    def killed(engine: Engine) -> None:
        nonlocal steps
        steps += 1
        step(engine)
        if steps > after:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "step", killed)
        patched.setattr(Checkpoints, "is_due", lambda self: True)
        with pytest.raises(Killed):
            train.main(params, name)


def watch_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images seen before each step that an engine takes from now on."""
    steps: list[int] = []
    step = Engine.step

    def watched(engine: Engine) -> None:
        steps.append(engine.seen)
        step(engine)

    monkeypatch.setattr(Engine, "step", watched)
    return steps


@pytest.mark.parametrize("name", load().variants)
def test_a_killed_training_resumes_and_ends_with_the_same_bytes(
    name: str, params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variant = params.variants[name]
    fitting: dict[str, Any] = {
        "progan": {"network": variant.network.model_copy(update={"resolutions": [3, 6, 12]})},
        "cyclegan": {"game": variant.game.model_copy(update={"pool_size": 9})},  # full, and used, before it is killed
    }
    variants = params.variants | {name: variant.model_copy(update=fitting.get(name, {}))}
    params = params.model_copy(update={"variants": variants})
    chosen = params.model_copy(update={"curves": params.curves.model_copy(update={"checkpoint": "best"})})
    train.main(chosen, name)
    undisturbed = outputs(name)
    shutil.rmtree("models")
    capsys.readouterr()
    train_and_be_killed(chosen, name, monkeypatch, after=1)
    train_and_be_killed(chosen, name, monkeypatch, after=2)
    assert not Path("models").exists()
    steps = watch_steps(monkeypatch)
    train.main(chosen, name)
    assert steps == [24, 32]  # of 40 images in batches of 8
    assert f"train: {name} (seed 0): resumes at 24 of 40 images" in capsys.readouterr().out
    assert outputs(name) == undisturbed
    assert not [path for path in Path(".cache/resume").rglob("*") if path.is_file()]


@pytest.mark.parametrize("changed", ["setting", "data", "nothing"])
def test_no_training_resumes_from_before_a_change(
    changed: str, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_and_be_killed(params, "mlp", monkeypatch, after=3)
    if changed == "setting":
        variant = params.variants["mlp"].model_copy(update={"ema_halflife_images": 77})
        params = params.model_copy(update={"variants": params.variants | {"mlp": variant}})
    elif changed == "data":
        labels = read_array(PROCESSED / "train" / "labels.npy")
        write_array(PROCESSED / "train" / "labels.npy", labels[::-1].copy())
    steps = watch_steps(monkeypatch)
    train.main(params, "mlp")
    assert steps[0] == (24 if changed == "nothing" else 0)


def test_checkpoints_that_cannot_be_written_cost_one_line(
    params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main(params, "mlp")
    undisturbed = outputs("mlp")
    shutil.rmtree(".cache")
    Path(".cache").write_text("no folder")
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: True)
    train.main(params, "mlp")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "checkpoint" in line]
    assert line.startswith("no checkpoint could be written: ")
    assert outputs("mlp") == undisturbed


def test_where_a_later_seed_diverges_only_curves_are_written(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    train.main(with_seeds(params, "mlp", [3, 5]), "mlp")
    undisturbed = outputs("mlp")
    for folder in ("models", "metrics"):
        shutil.rmtree(folder)
    step = Engine.step
    engines: list[Engine] = []

    def break_second(engine: Engine) -> None:
        if engine not in engines:
            engines.append(engine)
        step(engine)
        if len(engines) == 2:
            next(engine.game.generator.parameters()).data.fill_(math.nan)

    with monkeypatch.context() as patched:
        patched.setattr(Engine, "step", break_second)
        with pytest.raises(StageError, match=r"mlp \(seed 5\) diverged by step 2"):
            train.main(with_seeds(params, "mlp", [3, 5]), "mlp")
    assert not Path("models").exists()
    with Path("metrics/mlp/losses.csv").open() as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["3"] * 3
    steps = watch_steps(monkeypatch)
    train.main(with_seeds(params, "mlp", [3, 5]), "mlp")
    assert steps == [0, 8, 16, 24, 32]  # the second's: the first one was whole
    assert outputs("mlp") == undisturbed


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
