"""Inception score (Salimans et al., 2016, section 4), by the pipeline's classifier."""

import math

import numpy as np

from stages.scoring.intervals import bootstrap_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score


@score(better="higher", needs=("logits",), baseline="test", position=50)
def inception_score(images: ImageSet, context: Context) -> Estimate:
    """High where the classifier is sure of each sample's class, and classes vary: from 1 to the number of classes."""
    logits = at_most(images.logits, len(context.test_labels))  # as many as the baseline has: of more it is higher
    options, log_probabilities = context.options, logits_to_log_probabilities(logits)

    def statistic(chosen: np.ndarray) -> tuple[float, float]:
        return split_and_score(log_probabilities[chosen], min(options.inception_splits, len(chosen)), options.seed)

    estimate = bootstrap_to_estimate(lambda chosen: statistic(chosen)[0], len(logits), options)
    return estimate._replace(std=statistic(np.arange(len(logits)))[1])


def at_most(logits: np.ndarray, images: int) -> np.ndarray:
    """All rows, or so many of them in even steps: samples may come class by class."""
    return logits if len(logits) <= images else logits[np.arange(images) * len(logits) // images]


def logits_to_inception_score(logits: np.ndarray, splits: int, seed: int) -> tuple[float, float]:
    """exp(E KL(p(y|x) ‖ p(y))) as mean and standard deviation over splits of the shuffled images.

    Logits are (images, classes); the score lies between 1 and the number of classes. Raises ValueError for
    fewer images than splits.
    """
    return split_and_score(logits_to_log_probabilities(logits), splits, seed)


def logits_to_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithms, float64, of the probabilities that logits (images, classes) stand for."""
    import torch

    return torch.from_numpy(logits).double().log_softmax(dim=1).numpy()


def split_and_score(log_probabilities: np.ndarray, splits: int, seed: int) -> tuple[float, float]:
    """As `logits_to_inception_score`."""
    import torch

    if len(log_probabilities) < splits:
        raise ValueError(f"{len(log_probabilities)} images cannot be split in {splits}")
    order = np.random.default_rng(seed).permutation(len(log_probabilities))
    scores = []
    for part in torch.from_numpy(log_probabilities[order]).tensor_split(splits):
        log_marginal = part.logsumexp(dim=0) - math.log(len(part))
        divergence = (part.exp() * (part - log_marginal)).sum(dim=1)
        scores.append(float(divergence.mean().exp()))
    return float(np.mean(scores)), float(np.std(scores))
