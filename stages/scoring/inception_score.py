"""Inception score: are samples sure of their class, and the classes many? (Salimans et al., 2016, section 4)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def logits_to_inception_score(logits: np.ndarray, splits: int, seed: int) -> tuple[float, float]:
    """exp(E KL(p(y|x) ‖ p(y))) as mean and standard deviation over splits of the shuffled images.

    Logits are (images, classes); the score lies between 1 and the number of classes. Raises ValueError for
    fewer images than splits.
    """
    return log_probabilities_to_inception_score(logits_to_log_probabilities(logits), splits, seed)


def logits_to_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithms, float64, of the probabilities that logits (images, classes) stand for."""
    return torch.from_numpy(logits).double().log_softmax(dim=1).numpy()


def log_probabilities_to_inception_score(log_probabilities: np.ndarray, splits: int, seed: int) -> tuple[float, float]:
    """See `logits_to_inception_score`."""
    if len(log_probabilities) < splits:
        raise ValueError(f"{len(log_probabilities)} images cannot be split in {splits}")
    order = np.random.default_rng(seed).permutation(len(log_probabilities))
    parts = torch.from_numpy(log_probabilities[order]).tensor_split(splits)
    scores = [_score(part) for part in parts]
    return float(np.mean(scores)), float(np.std(scores))


def _score(log_conditional: Tensor) -> float:
    log_marginal = log_conditional.logsumexp(dim=0) - math.log(len(log_conditional))
    divergence = (log_conditional.exp() * (log_conditional - log_marginal)).sum(dim=1)
    return float(divergence.mean().exp())
