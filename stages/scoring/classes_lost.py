"""Classes that a generator hardly makes."""

from stages.scoring.score import Context, Estimate, ImageSet, score

LOST_SHARE = 0.3  # of an even share


@score(format="g", needs=("logits",), position=120)
def classes_lost(images: ImageSet, context: Context) -> Estimate:
    """Number of classes with less than 0.3 of an even share of the samples."""
    shares = images.class_shares
    return Estimate(int((shares < LOST_SHARE / len(shares)).sum()))
