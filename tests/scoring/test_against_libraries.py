"""The scores of one pair of feature sets, by this project and by the field's two libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from stages.evaluation.manifold import features_to_manifold, manifolds_to_votes
from stages.scoring.frechet import FidTo, features_to_gaussian
from stages.scoring.inception_score import logits_to_inception_score
from stages.scoring.kid import features_to_kid

COUNT, DIMS = 2000, 64


class Given(nn.Module):
    """Stands where Inception would: the images are the features already."""

    num_features = DIMS

    def forward(self, features: Tensor) -> Tensor:
        return features


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).gamma(1.9, 0.95, (COUNT, DIMS))


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    mixing = np.random.default_rng(1).normal(0, 0.02, (DIMS, DIMS))
    return np.random.default_rng(2).gamma(2.0, 1.0, (COUNT, DIMS)) @ (np.eye(DIMS) + mixing)


def test_fid(samples: np.ndarray, real: np.ndarray) -> None:
    ours = FidTo(features_to_gaussian(real))(features_to_gaussian(samples))
    statistics = [fid_features_to_statistics(torch.from_numpy(features)) for features in (samples, real)]
    fidelity = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    torchmetrics = FrechetInceptionDistance(feature=Given()).set_dtype(torch.float64)
    torchmetrics.update(torch.from_numpy(samples), real=False)
    torchmetrics.update(torch.from_numpy(real), real=True)
    assert ours == pytest.approx(fidelity, rel=1e-6)
    assert ours == pytest.approx(float(torchmetrics.compute()), rel=1e-6)


def test_kid(samples: np.ndarray, real: np.ndarray) -> None:
    """In one subset of all images, which no generator of random numbers can change."""
    ours, _ = features_to_kid(samples, real, subsets=1, subset_size=COUNT, seed=0)
    one, other = torch.from_numpy(samples), torch.from_numpy(real)
    fidelity = kid_features_to_metric(one, other, kid_subsets=1, kid_subset_size=COUNT, verbose=False)
    torchmetrics = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=COUNT)
    torchmetrics.update(one, real=False)
    torchmetrics.update(other, real=True)
    assert ours == pytest.approx(fidelity["kernel_inception_distance_mean"], rel=1e-6)
    assert ours == pytest.approx(float(torchmetrics.compute()[0]), rel=1e-6)


def test_inception_score(samples: np.ndarray) -> None:
    logits = torch.from_numpy(samples[:, :10])
    ours, _ = logits_to_inception_score(logits.numpy(), splits=1, seed=0)
    torchmetrics = InceptionScore(feature=Given(), splits=1)
    torchmetrics.update(logits)
    assert ours == pytest.approx(isc_features_to_metric(logits, 1)["inception_score_mean"], rel=1e-9)
    assert ours == pytest.approx(float(torchmetrics.compute()[0]), rel=1e-9)


def test_inception_score_in_splits(samples: np.ndarray) -> None:
    """The splits of an order that the seed draws, handed to the library as they are."""
    order = np.random.default_rng(7).permutation(COUNT)
    fidelity = isc_features_to_metric(torch.from_numpy(samples[order, :10]), 10, shuffle=False)
    expected = (fidelity["inception_score_mean"], fidelity["inception_score_std"])
    assert logits_to_inception_score(samples[:, :10], splits=10, seed=7) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("neighbours", [3, 5])
def test_precision_and_recall(samples: np.ndarray, real: np.ndarray, neighbours: int) -> None:
    votes = manifolds_to_votes(
        features_to_manifold(samples, neighbours), features_to_manifold(real, neighbours), neighbours
    )
    ours = {name: votes[name].mean() for name in ("precision", "recall")}
    fidelity = prc_features_to_metric(
        torch.from_numpy(samples), torch.from_numpy(real), prc_neighborhood=neighbours, verbose=False
    )
    assert 0.01 < min(ours["precision"], ours["recall"]) < max(ours["precision"], ours["recall"]) < 0.99
    assert ours["precision"] == pytest.approx(fidelity["precision"], abs=1e-6)
    assert ours["recall"] == pytest.approx(fidelity["recall"], abs=1e-6)
