"""Modes of data with very many classes, such as the 1,000 of stacked MNIST (Metz et al., 2017)."""

from stages.scoring.class_share import LISTED
from stages.scoring.score import Context, Estimate, ImageSet, score


@score(better="higher", format="g", needs=("logits",), position=121)
def modes(images: ImageSet, context: Context) -> Estimate | None:
    """Number of classes among samples, where the data have more than 100."""
    return Estimate(int((images.class_shares > 0).sum())) if len(context.classes) > LISTED else None
