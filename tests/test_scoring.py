"""From models to scores in small: two seeds, the best checkpoint, and a second feature network."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from stages import classifier, evaluate, reference, report, sample, train
from stages.config.errors import StageError
from stages.config.params import Params, load
from stages.contracts.generator import to_pixels
from stages.evaluation import evaluator
from stages.evaluation.feature_network import FeatureNetwork
from stages.evaluation.inception import images_to_inception_features
from stages.evaluation.manifold import features_to_manifold
from stages.evaluation.neighbours import Nearest
from stages.scoring.frechet import features_to_fid
from stages.scoring.seeds import average_scores
from stages.storage.files import read_array, read_json, rounded, write_array, write_csv
from stages.storage.images import SCALE, Split, read_split, write_split
from stages.storage.paths import IMAGES, REAL_SCORES, SAMPLES, seed_folder
from tests.conftest import ROOT

SEEDS = [3, 5]


class Pixels(torch.nn.Module):
    """Replaces Inception: eight means of pixels."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (images.float().mean(dim=1).flatten(1)[:, ::18].contiguous(),)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """A hundred and fifty bars of 12 × 12, and a conditional variant to train on them for some steps, untracked."""
    params = load()
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        labels = np.arange(150) % 3
        images = random.integers(0, 80, (150, 1, 12, 12), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[0, :, 4 * label : 4 * label + 3] = random.integers(150, 256)
        write_split(split, Split(images, labels, ("left", "middle", "right")))

    def change(part: Any, **values: Any) -> Any:
        return part.model_copy(update=values)

    lengths = change(params.classifier.images, smoke=3200)
    downstream = change(params.downstream, images=lengths, real_images=9)
    cgan = params.variants["cgan"]
    variant = change(cgan, batch_size=8, images=change(cgan.images, smoke=640))
    fewer = {"kid_subsets": 3, "kid_subset_size": 20, "resamples": 3, "copies_samples": 7}
    return change(
        params,
        budget="smoke",
        classifier=change(params.classifier, width=4, feature_size=6, batch_size=16, images=lengths),
        training=change(params.training, seeds=SEEDS, log_steps=3, snapshots=3, snapshot_images=20, checkpoint="best"),
        sample=change(params.sample, count=60),
        evaluate=change(params.evaluate, **fewer),
        downstream=downstream,
        tracking=change(params.tracking, enabled=False),
        variants={"cgan": variant},
    )


def test_scores_of_two_seeds_at_their_best_with_a_second_network(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator, "load_inception", lambda options, device: Pixels())
    classifier.main(params)
    reference.main(params)
    for stage in (train, sample, evaluate):
        stage.main(params, "cgan")
    report.main(params)

    models = read_json(Path("metrics/variants/cgan/scores.json"))["models"]
    of_seeds = [model["scores"] for model in models]
    assert [model["run"]["seed"] for model in models] == SEEDS
    short = read_json(Path("metrics/cgan.json"))
    fids = [scores["fid"]["value"] for scores in of_seeds]
    assert short["fid"] == pytest.approx(rounded(float(np.mean(fids))))
    computed = [short, of_seeds, read_json(Path("metrics/classifier.json")), read_json(REAL_SCORES)]
    assert [rounded(numbers) for numbers in computed] == computed  # else another processor writes other last digits
    assert len(set(fids)) == 2
    scores = average_scores(of_seeds)
    assert scores["fid_infinity"]["ci95"] > 0
    assert scores["label_accuracy"]["real"] > 0.9
    assert set(scores["class_share"]["value"]) == {"left", "middle", "right"}

    # all that is measured of samples is measured of real images, too
    without = {name for name, record in scores.items() if "real" not in record}
    assert len(scores) > 25
    assert without <= {"copies_pixels", "copies_features"}
    assert 0 < scores["inception_fid"]["real"] < scores["inception_fid"]["value"]
    real, seen = (
        images_to_inception_features(Pixels(), images, torch.device("cpu"))
        for images in (read_split("test").images, read_array(seed_folder(SAMPLES / "cgan", SEEDS, 3) / IMAGES))
    )
    assert of_seeds[0]["inception_fid"]["value"] == pytest.approx(features_to_fid(seen, real), rel=1e-4)
    far, near = (features_to_manifold(one, 5).squared_nearest for one in (real, seen))
    threshold = np.quantile(far, 1 - 0.99 ** ((len(far) - 1) / (len(near) - 1)))
    assert of_seeds[0]["inception_duplicates"]["value"] == pytest.approx(np.mean(near <= threshold), abs=1e-5)
    assert scores["inception_recall"]["value"] <= scores["inception_recall"]["real"]
    assert scores["class_kl"]["real"] == pytest.approx(0, abs=0.05)

    # each seed's checkpoint is the one of lowest validation FID, as the curve in scores.csv has it
    with Path("metrics/variants/cgan/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["fid_real"]) == read_json(REAL_SCORES)["snapshots"]["fid"]
    for seed, model in zip(SEEDS, models, strict=True):
        best = min((row for row in rows if int(row["seed"]) == seed), key=lambda row: float(row["fid"]))
        assert model["checkpoint"] == {"images": int(best["images"]), "rule": "best"}
    assert "mean of 2 seeds" in Path("metrics/report/variants.md").read_text()

    # per seed, two rows of seven samples over their training images, a pixel apart
    width, height = Image.open("metrics/variants/cgan/closest.png").size
    assert (width - SCALE, height - SCALE) == (7 * 13 * SCALE, 2 * 4 * 13 * SCALE)


def pictures_of(variant: str) -> set[str]:
    """The names of its sample pictures."""
    return {path.stem for path in Path(f"metrics/variants/{variant}/pictures").iterdir()}


def test_translators_are_scored_by_what_they_offer(params: Params) -> None:
    all_variants, variants = load(ROOT / "params.yaml").variants, {}
    for name in ("cyclegan", "pix2pix", "srgan"):
        lengths = all_variants[name].images.model_copy(update={"smoke": 64})
        variants[name] = all_variants[name].model_copy(update={"batch_size": 8, "images": lengths})
    training = params.training.model_copy(update={"seeds": SEEDS[:1], "checkpoint": "last"})
    params = params.model_copy(update={"variants": variants, "training": training})
    classifier.main(params)
    reference.main(params)
    pairs = {"paired_l1", "psnr", "ssim", "label_accuracy_before"}
    cycles = {"outline_fid", "outline_paired_l1", "cycle_l1", "outline_cycle_l1"}
    bicubic = {"bicubic_fid", "bicubic_psnr", "bicubic_ssim"}
    learned = {"classification_accuracy", "augmented_accuracy", "small_set_accuracy"}  # not from test images
    for name, offered in (("cyclegan", cycles), ("pix2pix", set()), ("srgan", bicubic)):
        for stage in (train, sample, evaluate):
            stage.main(params, name)
        scores = read_json(Path(f"metrics/variants/{name}/scores.json"))["models"][0]["scores"]
        assert scores.keys() & (pairs | cycles | bicubic | learned) == pairs | offered
        assert scores.keys() & {"label_accuracy", "code_accuracy"} == {"label_accuracy"}
        assert pictures_of(name) == {"samples", "translations"}
        assert scores["psnr"]["value"] > 0
        assert "real" not in scores["psnr"]


def test_codes_may_be_more_than_the_classes_of_the_data(params: Params) -> None:
    infogan = load(ROOT / "params.yaml").variants["infogan"]
    short = infogan.model_copy(update={"batch_size": 8, "images": infogan.images.model_copy(update={"smoke": 64})})
    training = params.training.model_copy(update={"seeds": SEEDS[:1], "checkpoint": "last"})
    params = params.model_copy(update={"variants": {"infogan": short}, "training": training})
    classifier.main(params)
    reference.main(params)
    for stage in (train, sample, evaluate):
        stage.main(params, "infogan")
    assert np.bincount(read_array(Path("data/samples/infogan/codes.npy"))).tolist() == [6] * 10
    scores = read_json(Path("metrics/variants/infogan/scores.json"))["models"][0]["scores"]
    assert 0.1 <= scores["code_accuracy"]["value"] <= 0.3  # three codes of ten stand for a class
    assert scores.keys() & {"label_accuracy", "classification_accuracy", "psnr", "bicubic_fid"} == set()
    assert pictures_of("infogan") == {"samples", "interpolations", "sweep_category", "sweep_code_1", "sweep_code_2"}


def test_missing_weights_of_inception_cost_a_line_and_no_other_score(
    params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "INCEPTION_DIMS", 8)
    evaluate_options = params.evaluate.model_copy(update={"inception_weights": "nowhere.pth"})
    params = params.model_copy(update={"evaluate": evaluate_options})
    classifier.main(params)
    reference.main(params)
    for stage in (train, sample):
        stage.main(params, "cgan")
    capsys.readouterr()
    evaluate.main(params, "cgan")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "nowhere.pth" in told
    scores = read_json(Path("metrics/variants/cgan/scores.json"))["models"][0]["scores"]
    assert {"fid", "classification_accuracy"} <= scores.keys()
    assert not [key for key in scores if key.startswith("inception_fid")]


def test_a_collapse_and_a_divergence_are_results(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    """Samples that are all alike are scored; a variant without a model has a row; what is left is ranked."""
    mlp = load(ROOT / "params.yaml").variants["mlp"]
    wild = mlp.regularizer.model_copy(update={"weight": 1e300})
    short = {"regularizer": wild, "batch_size": 8, "images": mlp.images.model_copy(update={"smoke": 64})}
    variants = params.variants | {"mlp": mlp.model_copy(update=short)}
    training = params.training.model_copy(update={"seeds": SEEDS[:1], "checkpoint": "last"})
    params = params.model_copy(update={"variants": variants, "training": training})
    classifier.main(params)
    reference.main(params)
    for name in ("cgan", "mlp"):
        train.main(params, name)
        sample.main(params, name)
    alike = np.broadcast_to(np.arange(144, dtype=np.uint8).reshape(1, 1, 12, 12), (60, 1, 12, 12))
    write_array(Path("data/samples/cgan/images.npy"), alike)
    for name in ("cgan", "mlp"):
        evaluate.main(params, name)
    scores = read_json(Path("metrics/variants/cgan/scores.json"))["models"][0]["scores"]
    assert scores["fid"]["value"] > scores["fid"]["real"]
    assert scores["duplicates"]["value"] == 1
    assert (scores["recall"]["value"], scores["density"]["value"]) == (0, 0)
    assert read_json(Path("metrics/mlp.json")) == {}
    with pytest.raises(StageError, match=r"^no scores: mlp \(seed \d+\) diverged by step"):
        report.main(params)
    page = Path("metrics/report/variants.md").read_text()
    assert "- `cgan`: mode collapse:" in page
    assert re.search(r"^\|  \| `mlp` .* no scores, see below \|$", page, flags=re.MULTILINE)
    assert re.search(r"^- `mlp`: mlp \(seed \d+\) diverged by step", page, flags=re.MULTILINE)
    with Path("metrics/summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["seeds"], bool(row["fid"])) for row in rows] == [
        ("cgan", "1", True),
        ("mlp", "0", False),
    ]


def test_a_classifier_that_diverges_says_what_to_try(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = FeatureNetwork.forward

    def broken(network: FeatureNetwork, images: torch.Tensor) -> torch.Tensor:
        return forward(network, images) * torch.nan

    monkeypatch.setattr(FeatureNetwork, "forward", broken)
    with pytest.raises(StageError, match=r"the classifier diverged within \d+ images; try a lower"):
        classifier.main(params)
    assert not Path("models").exists()


def test_images_that_are_not_finite_end_the_sampling() -> None:
    with pytest.raises(StageError, match="not finite"):
        to_pixels(torch.full((2, 1, 12, 12), torch.nan))


def test_each_likely_copy_stands_over_its_own_training_image() -> None:
    images, of_training = (np.arange(first, first + 4, dtype=np.uint8)[:, None, None, None] for first in (0, 10))
    found = Nearest(np.array([3, 2, 1, 0]), np.array([0.9, 0.1, 0.5, 0.7]))
    drawn = evaluate.draw_closest(images, of_training, [found]).flatten().tolist()
    assert drawn == [1, 2, 3, 0, 12, 11, 10, 13]


def test_a_seed_is_diagnosed_by_its_own_losses(tmp_path: Path) -> None:
    rows = [{"seed": seed, "generator_gradient": norm} for seed, norm in ((3, 4.0), (3, 4.0), (5, 4.0), (5, 1.0))]
    write_csv(tmp_path / "losses.csv", list(rows[0]), rows)
    left = [evaluate.diagnose(tmp_path / "losses.csv", seed, [8.0])["gradient_left"] for seed in (3, 5)]
    assert left == [1, 0.25]
