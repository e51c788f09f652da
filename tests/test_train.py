"""Train: what is written, when it is measured, and what a diverged training says."""

from __future__ import annotations

import csv
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from safetensors.numpy import load_file

from stages import train
from stages.config.params import Params, load
from stages.storage.files import read_array, read_json, write_array
from stages.storage.paths import PROCESSED
from stages.training import processes
from stages.training.checkpoints import Checkpoints
from stages.training.trainer import Trainer
from tests.conftest import ROOT


def test_a_run_leaves_models_curves_and_snapshots(small_params: Params) -> None:
    train.main(small_params, "dcgan")
    with Path("metrics/variants/dcgan/losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["images"]) for row in rows] == [16, 32, 40]  # first step at or past each third of 40
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    snapshots = load_file("models/dcgan/snapshots.safetensors")
    assert snapshots["images_seen"].tolist() == [24, 40]
    assert snapshots["samples"].shape == (2, 5, 3, 12, 12)
    assert snapshots["samples"].dtype == np.uint8
    config = read_json(Path("models/dcgan/config.json"))
    assert (config["image_shape"], config["classes"]) == ([3, 12, 12], ["a", "b", "c", "d"])
    assert (config["label_meaning"], config["starts_from"]) == ("ignored", "latents")
    weights = load_file("models/dcgan/generator.safetensors")
    assert config["receptive_field"] == [12, 12]
    learned = sum(value.size for key, value in weights.items() if "running" not in key and "num_" not in key)
    assert config["parameters"]["generator"] == learned
    assert "projection.weight" not in weights
    discriminator = load_file("models/dcgan/discriminator.safetensors")
    assert config["parameters"]["discriminator"] == sum(value.size for value in discriminator.values()) != learned


def test_two_trainings_write_the_same_bytes(small_params: Params) -> None:
    written = []
    for _ in range(2):
        train.main(small_params, "wgan_gp")
        files = [*Path("models/wgan_gp").iterdir(), Path("metrics/variants/wgan_gp/losses.csv")]
        written.append({path.name: path.read_bytes() for path in files})
    assert len(written[0]) == 6
    assert written[0] == written[1]


def test_a_diverged_training_says_when_and_what_to_try(
    small_params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    variant = small_params.variants["wgan_gp"]
    wild = variant.regularizer.model_copy(update={"weight": 1e300})
    variants = small_params.variants | {"wgan_gp": variant.model_copy(update={"regularizer": wild})}
    says = r"wgan_gp \(seed 0\) diverged by step 2 \(16 images\): NaN or infinite: .*discriminator_loss.*; try a lower"
    train.main(small_params.model_copy(update={"variants": variants}), "wgan_gp")
    told = capsys.readouterr().err
    assert re.match(f"train: {says}", told)
    assert told.count("\n") == 1
    assert [path.name for path in Path("models/wgan_gp").iterdir()] == ["config.json"]
    assert f"train: {diverged('wgan_gp')}\n" == told
    assert (
        Path("metrics/variants/wgan_gp/losses.csv").read_text() == "seed,images\n"
    )  # it broke before the first reading


def diverged(name: str) -> str:
    """What a model's config.json says of a training that diverged."""
    return str(read_json(Path("models") / name / "config.json")["diverged"])


def break_third_step(monkeypatch: pytest.MonkeyPatch, network: str, value: float) -> None:
    """From now on, one weight is that value after 24 images, where a reading is not due."""
    step = Trainer.step

    def broken(trainer: Trainer) -> None:
        step(trainer)
        if trainer.images_seen == 24:
            list(getattr(trainer.gan, network).parameters())[-1].data.view(-1)[-1] = value

    monkeypatch.setattr(Trainer, "step", broken)


@pytest.mark.parametrize("network", ["discriminator", "generator"])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_one_broken_weight_ends_a_training_and_leaves_its_curve(
    network: str, value: float, small_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: True)
    break_third_step(monkeypatch, network, value)
    train.main(small_params, "mlp")
    assert re.search(rf"diverged by step 3 \(24 images\): .*: {network}'s weights; try", diverged("mlp"))
    with Path("metrics/variants/mlp/losses.csv").open() as file:
        assert [row["images"] for row in csv.DictReader(file)] == ["16"]
    assert not Path(".cache/resume/mlp").exists()  # the same training would break again


def test_a_diverged_training_is_a_failed_run_with_its_curve(
    small_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    break_third_step(monkeypatch, "generator", math.nan)
    tracking = small_params.tracking.model_copy(update={"enabled": True, "wait_seconds": 120})
    train.main(small_params.model_copy(update={"tracking": tracking}), "mlp")
    assert diverged("mlp")
    client = MlflowClient(f"sqlite:///{Path('mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name(tracking.experiment)
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FAILED"
    assert [point.step for point in client.get_metric_history(found.info.run_id, "training/generator_loss")] == [16]


class Killed(BaseException):
    """In the place of what ends a process."""


def outputs(name: str) -> dict[str, bytes]:
    """Every file that a training leaves, by its path."""
    folders = [Path("models", name), Path("metrics/training", name), Path("metrics/variants", name)]
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def train_and_be_killed(small_params: Params, name: str, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Train with a state written after every step, and end within the step after `after` others."""
    steps = 0
    step = Trainer.step

    def killed(trainer: Trainer) -> None:
        nonlocal steps
        steps += 1
        step(trainer)
        if steps > after:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", killed)
        patched.setattr(Checkpoints, "is_due", lambda self: True)
        with pytest.raises(Killed):
            train.main(small_params, name)


def watch_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images seen before each step that a trainer takes from now on."""
    steps: list[int] = []
    step = Trainer.step

    def watched(trainer: Trainer) -> None:
        steps.append(trainer.images_seen)
        step(trainer)

    monkeypatch.setattr(Trainer, "step", watched)
    return steps


@pytest.mark.parametrize("name", load().variants)
def test_a_killed_training_resumes_and_ends_with_the_same_bytes(
    name: str, small_params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = small_params.model_copy(
        update={"training": small_params.training.model_copy(update={"checkpoint": "best"})}
    )
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


@pytest.mark.parametrize("changed", ["setting", "data", "code", "machine", "nothing"])
def test_no_training_resumes_from_before_a_change(
    changed: str, small_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_and_be_killed(small_params, "mlp", monkeypatch, after=3)
    if changed == "setting":
        variant = small_params.variants["mlp"].model_copy(update={"ema_halflife_images": 77})
        small_params = small_params.model_copy(update={"variants": small_params.variants | {"mlp": variant}})
    elif changed == "data":
        labels = read_array(PROCESSED / "train" / "labels.npy")
        write_array(PROCESSED / "train" / "labels.npy", labels[::-1].copy())
    elif changed == "code":
        monkeypatch.setattr(train, "hash_code", lambda variant: "of other code")
    elif changed == "machine":
        monkeypatch.setattr(train, "environment", lambda device: {"instructions": "others"})
    steps = watch_steps(monkeypatch)
    train.main(small_params, "mlp")
    assert steps[0] == (24 if changed == "nothing" else 0)


def test_what_several_machines_must_have_in_common_is_compared(
    small_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = list[dict[str, Any]]()
    monkeypatch.setattr(processes, "require_same", lambda about: compared.append(dict(about)))
    train.prepare_training(small_params, "dcgan", 0)
    labels = read_array(PROCESSED / "train/labels.npy")
    write_array(PROCESSED / "train/labels.npy", labels[::-1].copy())
    monkeypatch.setattr(train, "hash_code", lambda variant: "other")
    less = small_params.variants["dcgan"].model_copy(update={"ema_halflife_images": 7})
    train.prepare_training(small_params.model_copy(update={"variants": {"dcgan": less}}), "dcgan", 0)
    one, other = compared
    assert list(one) == ["parameters", "code", "training images"]
    assert [name for name in one if one[name] != other[name]] == list(one)
    assert one["parameters"]["variant"].keys() == other["parameters"]["variant"].keys()


def test_the_hash_of_code_changes_with_each_file_that_a_training_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(ROOT / "stages", tmp_path / "stages"))
    monkeypatch.setattr(train, "CODE", copy)
    dcgan = load().variants["dcgan"]
    files = ["gans/standard.py", "networks/dcgan.py", "networks/layers.py", "objectives/non_saturating.py"]
    files += ["regularizers/r1.py", "contracts/gan.py", "storage/pixels.py", "training/ema.py"]
    found = {train.hash_code(dcgan)}
    for file in files:
        with (copy / file).open("a") as code:
            code.write("# another thought")
        found.add(train.hash_code(dcgan))
    assert len(found) == 1 + len(files)


def test_the_loop_has_the_settings_of_params_yaml(small_params: Params) -> None:
    changes = {
        "learning_rate_decay_from": 0.25,
        "ema_rampup": 0.5,
        "precision": "bfloat16",
        "reuse_fakes": not small_params.training.reuse_fakes,
        "noise_std": 0.125,
        "noise_until": 0.75,
        "augment": ["cutout"],
    }
    changed = small_params.model_copy(update={"training": small_params.training.model_copy(update=changes)})
    wgan = changed.variants["wgan"].model_copy(update={"critic_steps": 4, "ema_halflife_images": 77})
    found = train.hyperparameters(changed, wgan)
    assert {name: getattr(found, name) for name in changes} == changes
    assert (found.optimizers, found.critic_steps, found.ema_halflife_images) == (wgan.optimizers, 4, 77)
    assert found.cuda_graphs == changed.cuda_graphs


def test_checkpoints_that_cannot_be_written_cost_one_line(
    small_params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main(small_params, "mlp")
    undisturbed = outputs("mlp")
    shutil.rmtree(".cache")
    Path(".cache").write_text("no folder")
    monkeypatch.setattr(Checkpoints, "is_due", lambda self: True)
    train.main(small_params, "mlp")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "checkpoint" in line]
    assert line.startswith("no checkpoint could be written: ")
    assert outputs("mlp") == undisturbed


def test_a_seed_that_diverges_costs_the_others_nothing(small_params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    train.main(with_seeds(small_params, [3, 5]), "mlp")
    undisturbed = outputs("mlp")
    for folder in ("models", "metrics"):
        shutil.rmtree(folder)
    step = Trainer.step
    trainers: list[Trainer] = []

    def break_second(trainer: Trainer) -> None:
        if trainer not in trainers:
            trainers.append(trainer)
        step(trainer)
        if len(trainers) == 2:
            next(trainer.gan.generator.parameters()).data.fill_(math.nan)

    monkeypatch.setattr(Trainer, "step", break_second)
    train.main(with_seeds(small_params, [3, 5]), "mlp")
    found = outputs("mlp")
    first = {path: content for path, content in undisturbed.items() if "seed_5" not in path and "losses" not in path}
    assert len(first) == 7  # five of the model, two grids
    assert first.items() <= found.items()
    assert found.keys() - first.keys() == {"models/mlp/seed_5/config.json", "metrics/variants/mlp/losses.csv"}
    assert diverged("mlp/seed_5").startswith("mlp (seed 5) diverged by step 2")
    with Path("metrics/variants/mlp/losses.csv").open() as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["3"] * 3


def with_seeds(params: Params, seeds: list[int]) -> Params:
    return params.model_copy(update={"training": params.training.model_copy(update={"seeds": seeds})})


def test_each_seed_is_trained_as_it_would_be_alone(small_params: Params) -> None:
    weights, alone = Path("models/mlp/generator.safetensors"), {}
    for seed in (3, 5):
        train.main(with_seeds(small_params, [seed]), "mlp")
        alone[seed] = weights.read_bytes()
    train.main(with_seeds(small_params, [3, 5]), "mlp")
    assert weights.read_bytes() == alone[3] != alone[5]
    assert (weights.parent / "seed_5" / weights.name).read_bytes() == alone[5]
    with Path("metrics/variants/mlp/losses.csv").open() as file:
        rows = [(row["seed"], row["images"]) for row in csv.DictReader(file)]
    assert rows == [(seed, images) for seed in ("3", "5") for images in ("16", "32", "40")]
