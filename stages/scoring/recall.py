"""Recall (Kynkäänniemi et al., 2019, section 3): the mean of manifolds_to_votes."""

from stages.scoring.intervals import mean_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score


@score(better="higher", needs=("votes",), position=31, by_inception=True)
def recall(images: ImageSet, context: Context) -> Estimate:
    """Share of test images that lie among samples. It falls when modes are missing."""
    return mean_to_estimate(images.votes["recall"])
