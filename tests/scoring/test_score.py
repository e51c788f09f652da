"""Declared scores: each gets the right set on the right side, and a new file is found."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.config import registry
from stages.config.errors import StageError
from stages.reporting.markdown_page import declarations_to_markdown
from stages.scoring import score as score_module
from stages.scoring.fid_infinity import features_to_fid_infinity
from stages.scoring.frechet import features_to_fid, features_to_gaussian
from stages.scoring.image_set import ImageSet
from stages.scoring.inception_score import logits_to_inception_score
from stages.scoring.intervals import mean_to_estimate
from stages.scoring.kid import features_to_kid, kid_ci95
from stages.scoring.score import compute_scores, find_scores
from stages.tracking.descriptions import table_of_scores
from tests.conftest import ROOT
from tests.scoring.contexts import build_context, build_images


def scores_of(samples: np.ndarray, real: np.ndarray, **given: Any) -> dict[str, Any]:
    return compute_scores(build_images(samples, real, **given), build_context(real), find_scores().values())


def test_a_generator_that_knows_one_of_two_clusters() -> None:
    """Precise, but blind to half of what is real: the other way round, if samples and real images were swapped."""
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(0, 1, (400, 2)), random.normal(100, 1, (400, 2))])
    samples = random.normal(0, 1, (400, 2))
    scores = scores_of(samples, real)
    values = {name: record["value"] for name, record in scores.items()}
    assert values["precision"] > 0.9
    assert values["recall"] == pytest.approx(0.5, abs=0.05)
    assert values["density"] == pytest.approx(1, abs=0.15)
    assert values["coverage"] == pytest.approx(0.5, abs=0.05)
    assert values["fid"] == pytest.approx(features_to_fid(samples, real))
    infinity = features_to_fid_infinity(samples, features_to_gaussian(real), points=5, seed=3)
    assert values["fid_infinity"] == pytest.approx(infinity)
    kid, std = features_to_kid(samples, real, subsets=2, subset_size=100, seed=3)
    assert scores["kid"] == {"value": kid, "std": std, "ci95": kid_ci95(std, 400, subsets=2, subset_size=100)}
    expected = mean_to_estimate(np.arange(800) < 800 * values["recall"])
    assert scores["recall"]["ci95"] == pytest.approx(expected.ci95)
    for name in ("fid", "density", "recall", "coverage"):
        assert 0 < scores[name]["ci95"] < 0.2 * values[name]


def test_inception_score_has_an_interval() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (400, 10))
    context = build_context(np.random.default_rng(0).normal(size=(400, 2)))
    record = compute_scores(ImageSet(logits=logits), context, [find_scores()["inception_score"]])["inception_score"]
    assert (record["value"], record["std"]) == logits_to_inception_score(logits, 2, 3)
    assert 0.02 < record["ci95"] < 0.5


def test_the_baseline_is_joined_and_what_images_lack_is_left_out() -> None:
    random = np.random.default_rng(0)
    real, samples = random.normal(size=(400, 2)), random.normal(size=(300, 2))
    context = build_context(real, baseline={"fid": {"value": 0.5, "ci95": 0.1}})
    scores = compute_scores(build_images(samples, real), context, find_scores().values())
    assert scores["fid"]["real"] == 0.5
    assert "real" not in scores["kid"]
    assert not {"label_accuracy", "code_accuracy", "paired_l1", "inception_fid"} & set(scores)


def test_every_score_is_described() -> None:
    scores = find_scores()
    assert len(scores) > 28
    for name, declared in scores.items():
        assert declared.name == name
        assert declared.description.endswith("."), name
        assert f"{0.5:{declared.format}}", name
        assert set(declared.needs) <= ImageSet.__annotations__.keys(), name  # a slip would mean: never computed
    positions = [declared.position for declared in scores.values()]
    assert positions == sorted(positions)


def test_scores_by_inception_are_of_its_features_and_its_test_images() -> None:
    random = np.random.default_rng(0)
    real, samples, other_real, other = (random.normal(mean, 1, (300, 2)) for mean in (0, 1, 5, 8))
    by_inception = build_images(other, other_real), build_context(other_real)
    scores = scores_of(samples, real, inception=by_inception)
    alone = scores_of(other, other_real)
    twins = {name.removeprefix("inception_"): scores[name] for name in scores if name.startswith("inception_")}
    votes = {"precision", "recall", "density", "coverage"}
    assert twins == {name: alone[name] for name in {"fid", "fid_infinity", "kid", "duplicates"} | votes}
    assert twins["fid"]["value"] > 5 > scores["fid"]["value"]


BRIGHTNESS = '''"""Mean brightness."""

from stages.scoring.score import Context, Estimate, ImageSet, score


@score("brightness", better="near", ideal=33.0, format=".1f", needs=("pixels",), position=70)
def brightness(images: ImageSet, context: Context) -> Estimate:
    """Mean pixel, 0 to 255."""
    return Estimate(float(images.pixels.mean()))
'''


def test_a_new_score_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropped into the folder, it is computed, listed in the docs table and logged."""
    (tmp_path / "brightness.py").write_text(BRIGHTNESS)
    monkeypatch.setattr(sys.modules["stages.scoring"], "__path__", [str(ROOT / "stages/scoring"), str(tmp_path)])
    names = [*registry.module_names("scoring"), "brightness"]
    monkeypatch.setattr(score_module, "module_names", lambda folder: names)
    monkeypatch.delitem(sys.modules, "stages.scoring.brightness", raising=False)
    importlib.invalidate_caches()
    scores = find_scores()
    images = ImageSet(pixels=np.full((3, 1, 4, 4), 20, np.uint8))
    context = build_context(np.random.default_rng(0).normal(size=(20, 2)))
    records = compute_scores(images, context, scores.values())
    assert records == {"brightness": {"value": 20.0}}
    assert "| `brightness` | brightness | Mean pixel, 0 to 255. | near 33.0 |" in declarations_to_markdown(scores)
    assert "| brightness | 20.0 |  |  |" in table_of_scores(records)  # in MLflow


def test_a_broken_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_module, "module_names", lambda folder: ["fid", "no_such_score"])
    with pytest.raises(StageError, match=r"stages/scoring/no_such_score\.py: ModuleNotFoundError"):
        find_scores()
