"""Density (Naeem et al., 2020, section 3): the mean of manifolds_to_votes."""

from stages.scoring.intervals import mean_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score


@score(better="higher", needs=("votes",), position=40, by_inception=True)
def density(images: ImageSet, context: Context) -> Estimate:
    """How many test images lie around a sample; 1 where both are drawn from one distribution."""
    return mean_to_estimate(images.votes["density"])
