"""How far the classes of samples are from those of the data."""

import numpy as np

from stages.scoring.score import Context, Estimate, ImageSet, score

LEAST_SHARE = 1e-6  # keeps the divergence finite for a class that no training image has


@score("reverse KL", format=".3f", needs=("logits",), position=61)
def class_kl(images: ImageSet, context: Context) -> Estimate:
    """Reverse KL, KL(samples ‖ training), of the shares of the classes, in nats."""
    there = images.class_shares > 0
    shares, expected = images.class_shares[there], context.class_shares[there]
    return Estimate(max(0.0, float((shares * np.log(shares / np.maximum(expected, LEAST_SHARE))).sum())))
