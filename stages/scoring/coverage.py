"""Coverage (Naeem et al., 2020, section 3): the mean of manifolds_to_votes."""

from stages.scoring.intervals import mean_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score


@score(better="higher", needs=("votes",), position=41, by_inception=True)
def coverage(images: ImageSet, context: Context) -> Estimate:
    """Share of test images that have a sample nearby. It falls when modes are missing."""
    return mean_to_estimate(images.votes["coverage"])
