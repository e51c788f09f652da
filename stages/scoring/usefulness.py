"""What samples by label are good for: a classifier learns from them, and is tested on real images.

Learning from samples alone gives the classification accuracy score (Ravuri and Vinyals, 2019, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from stages.scoring.features import FeatureNetwork
from stages.scoring.training import accuracy, fit
from stages.settings.params import Classifier, validate
from stages.support.images import Split


def learn_and_test(train: Split, test: Split, config: Mapping[str, Any], images: int, device: torch.device) -> float:
    """Accuracy on test images, in [0, 1], of a new classifier, made and trained as config.json says of the pipeline's.

    It is shown `images` images of the training set, each many times where the set is small.
    """
    options = validate(Classifier, config["training"], "config.json: training")
    torch.manual_seed(options.seed)  # the same start and order for every set
    network = FeatureNetwork(**config["network"])
    fit(network, train, options, images, device)
    return accuracy(network, test, device)


def join_evenly(one: Split, other: Split) -> Split:
    """Both sets together, the smaller repeated so that half of all images come from each."""
    count = max(len(one.images), len(other.images))
    chosen = [np.arange(count) % len(split.images) for split in (one, other)]
    return Split(
        np.concatenate([split.images[rows] for split, rows in zip((one, other), chosen, strict=True)]),
        np.concatenate([split.labels[rows] for split, rows in zip((one, other), chosen, strict=True)]),
    )
