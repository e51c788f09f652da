"""The label accuracy that a translator starts from."""

import numpy as np

from stages.scoring.score import Context, Estimate, ImageSet, score


@score("label accuracy before translation", better="higher", format=".1%", needs=("labels", "pairs"), position=141)
def label_accuracy_before(images: ImageSet, context: Context) -> Estimate:
    """Label accuracy of the test images before their translation."""
    return Estimate(float(np.mean(images.pairs["digit_classes"] == images.labels)))
