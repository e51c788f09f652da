"""Precision, recall, density and coverage by definition, by cases a hand can check, and by published figures."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from stages.evaluation import manifold
from stages.evaluation.manifold import features_to_manifold, manifolds_to_votes
from tests.conftest import ROOT, run


def scores(samples: np.ndarray, real: np.ndarray, neighbours: int) -> dict[str, float]:
    votes = manifolds_to_votes(
        features_to_manifold(samples, neighbours), features_to_manifold(real, neighbours), neighbours
    )
    return {name: float(said.mean()) for name, said in votes.items()}


def by_definition(samples: np.ndarray, real: np.ndarray, neighbours: int) -> dict[str, float]:
    """From whole matrices of distances (Naeem et al., 2020, equations 1 to 4)."""
    radius = {
        name: np.sort(cdist(points, points), axis=1)[:, neighbours]  # the first is the point itself
        for name, points in (("samples", samples), ("real", real))
    }
    between = cdist(real, samples)
    in_real = between < radius["real"][:, None]
    return {
        "precision": in_real.any(axis=0).mean(),
        "recall": (between < radius["samples"]).any(axis=1).mean(),
        "density": in_real.sum(axis=0).mean() / neighbours,
        "coverage": in_real.any(axis=1).mean(),
    }


@pytest.mark.parametrize(("sample_count", "real_count"), [(300, 200), (200, 300)])
@pytest.mark.parametrize("offset", [0, 1000])
def test_scores_are_those_by_definition(
    sample_count: int, real_count: int, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in blocks that do not divide the images, and far from the origin."""
    monkeypatch.setattr(manifold, "BLOCK", 64)
    random = np.random.default_rng(0)
    samples = random.normal(0.3, 0.8, (sample_count, 5)) + offset
    real = random.normal(size=(real_count, 5)) + offset
    assert scores(samples, real, 3) == pytest.approx(by_definition(samples, real, 3), abs=1e-12)


def test_two_clusters_and_a_generator_that_knows_one() -> None:
    """It is precise and dense, but half of what is real is out of its reach."""
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(0, 1, (500, 2)), random.normal(100, 1, (500, 2))])
    found = scores(random.normal(0, 1, (500, 2)), real, 5)
    assert found["precision"] > 0.9
    assert found["density"] == pytest.approx(1, abs=0.15)
    assert found["recall"] == pytest.approx(0.5, abs=0.05)
    assert found["coverage"] == pytest.approx(0.5, abs=0.05)


def test_samples_that_repeat_few_images_cover_few() -> None:
    random = np.random.default_rng(0)
    real = random.normal(size=(500, 3))
    found = scores(np.repeat(real[:10], 50, axis=0) + 1e-3 * random.normal(size=(500, 3)), real, 5)
    assert found["precision"] == 1
    assert found["coverage"] < 0.15
    assert found["recall"] < 0.05


def test_an_outlier_among_real_images_does_not_raise_density_as_it_does_precision() -> None:
    """Naeem et al. (2020, section 3.1, figure 1a): its huge ball holds all samples."""
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(size=(200, 2)), [[30.0, 30.0]]])
    samples = random.normal(10, 0.5, (200, 2))
    found = scores(samples, real, 5)
    assert found["precision"] == 1
    assert found["density"] == pytest.approx(1 / 5)


def test_equal_gaussians_reach_the_published_figures() -> None:
    """The example of the reference implementation: two N(0, I) samples of 10,000 in 1,000 dimensions, k 5.

    It prints precision 0.48, recall 0.47, density 1.06 and coverage 0.97. In so many dimensions few images lie in most
    balls, so that density changes by a tenth from draw to draw.
    """
    real, samples = np.random.default_rng(0).normal(size=(2, 10000, 1000)).astype(np.float32)
    found = scores(samples, real, 5)
    assert found.pop("density") == pytest.approx(1.06, abs=0.2)
    assert found == pytest.approx({"precision": 0.48, "recall": 0.47, "coverage": 0.97}, abs=0.03)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 5 images"):
        features_to_manifold(np.zeros((5, 3)), 5)


def test_memory_grows_with_the_images_and_not_with_their_square() -> None:
    """Both matrices of 12,000 images' distances would take 1.1 GiB each."""
    code = r"""
import numpy as np, re
from pathlib import Path
from stages.evaluation.manifold import features_to_manifold, manifolds_to_votes
def peak():
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
features = np.random.default_rng(0).normal(size=(12000, 16))
features_to_manifold(features[:500], 5)
before = peak()
manifold = features_to_manifold(features, 5)
manifolds_to_votes(manifold, manifold, 5)
print(peak() - before)
"""
    done = run(sys.executable, "-c", code, cwd=ROOT)
    assert float(done.stdout) < 300
