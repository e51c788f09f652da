"""Classes that a generator hardly makes."""

from stages.scoring.score import Context, Estimate, ImageSet, score

LOST_SHARE = 0.3  # of the share that a class has among training images


@score(format="g", needs=("logits",), position=120)
def classes_lost(images: ImageSet, context: Context) -> Estimate:
    """Number of classes with less than 0.3 of their share of the training images."""
    return Estimate(int((images.class_shares < LOST_SHARE * context.class_shares).sum()))
