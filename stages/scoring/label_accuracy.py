"""Do samples show the class that was asked for?"""

from stages.scoring.intervals import mean_to_estimate
from stages.scoring.score import Context, Estimate, ImageSet, score


@score(better="higher", format=".1%", needs=("labels", "logits"), baseline="test", position=140)
def label_accuracy(images: ImageSet, context: Context) -> Estimate:
    """Share of samples that the classifier takes for the class that was asked for."""
    return mean_to_estimate(images.predicted == images.labels)
