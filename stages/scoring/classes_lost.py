"""Classes that a generator hardly makes."""

import numpy as np

from stages.scoring.score import Context, Estimate, ImageSet, score

LOST_SHARE = 0.3  # of the share that a class has among real images
LEAST_EXPECTED = 15  # samples: of fewer, chance alone may leave out so many


@score(format="g", needs=("logits",), position=120)
def classes_lost(images: ImageSet, context: Context) -> Estimate:
    """Number of classes with less than 0.3 of their share of real images, as the classifier sees both.

    Classes of which fewer than 15 samples are expected do not count.
    """
    shares = context.class_shares
    if of_real := context.baseline.get("class_share", {}).get("value"):
        shares = np.array([of_real[name] for name in context.classes])
    is_judged = shares * len(images.logits) >= LEAST_EXPECTED
    return Estimate(int((is_judged & (images.class_shares < LOST_SHARE * shares)).sum()))
