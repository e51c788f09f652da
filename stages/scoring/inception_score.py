"""Inception score: are samples sure of their class, and the classes many? (Salimans et al., 2016, section 4)."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, logsumexp


def logits_to_inception_score(logits: np.ndarray, splits: int, seed: int) -> tuple[float, float]:
    """exp(E KL(p(y|x) ‖ p(y))) as mean and standard deviation over splits of the shuffled images.

    Logits are (images, classes); the score lies between 1 and the number of classes. Raises ValueError for
    fewer images than splits.
    """
    if len(logits) < splits:
        raise ValueError(f"{len(logits)} images cannot be split in {splits}")
    order = np.random.default_rng(seed).permutation(len(logits))
    log_probabilities = log_softmax(logits.astype(np.float64)[order], axis=1)
    scores = [_score(part) for part in np.array_split(log_probabilities, splits)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(log_conditional: np.ndarray) -> float:
    log_marginal = logsumexp(log_conditional, axis=0) - np.log(len(log_conditional))
    divergence = (np.exp(log_conditional) * (log_conditional - log_marginal)).sum(axis=1)
    return float(np.exp(divergence.mean()))
