"""How uneven the classes of samples are."""

import numpy as np

from stages.scoring.score import Context, Estimate, ImageSet, score


@score("class KL", format=".3f", needs=("logits",), position=61)
def class_kl(images: ImageSet, context: Context) -> Estimate:
    """Divergence of the classes' shares from even ones, KL(shares ‖ uniform), in nats."""
    shares = images.class_shares
    there = shares[shares > 0]
    return Estimate(max(0.0, float((there * np.log(there * len(shares))).sum())))
