"""The rarest class among samples."""

from stages.scoring.score import Context, Estimate, ImageSet, score


@score("smallest class", better="near", ideal=None, format=".1%", needs=("logits",), position=60)
def smallest_class_share(images: ImageSet, context: Context) -> Estimate:
    """Share of the rarest class among samples, as the classifier sees them. Compare it with the baseline's."""
    return Estimate(float(images.class_shares.min()))
