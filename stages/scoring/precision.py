"""Precision (Kynkäänniemi et al., 2019, section 3): the mean of manifolds_to_votes."""

from stages.scoring.intervals import mean_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score


@score(better="higher", needs=("votes",), position=30, by_inception=True)
def precision(images: ImageSet, context: Context) -> Estimate:
    """Share of samples that lie among test images: how realistic samples are."""
    return mean_to_estimate(images.votes["precision"])
