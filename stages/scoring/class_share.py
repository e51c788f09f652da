"""Share of each class among samples."""

from stages.scoring.score import Context, Estimate, ImageSet, score

LISTED = 100  # classes: with more of them, no score has a value a class


@score(better="near", ideal=None, format=".1%", needs=("logits",), position=122)
def class_share(images: ImageSet, context: Context) -> Estimate | None:
    """Share of each class among samples, as the classifier sees them. Compare it with the baseline's."""
    if len(context.classes) > LISTED:
        return None
    return Estimate(dict(zip(context.classes, images.class_shares.tolist(), strict=True)))
