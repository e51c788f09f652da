"""What samples add to a small set of real images."""

import numpy as np

from stages.scoring.score import Context, Estimate, ImageSet, score
from stages.storage.images import Split


@score(
    "downstream accuracy, small set + samples",
    better="higher",
    format=".1%",
    needs=("training_set",),
    position=151,
)
def augmented_accuracy(images: ImageSet, context: Context) -> Estimate:
    """Accuracy on test images of a classifier that learned from a small real set and samples."""
    return Estimate(context.train_and_test(join_evenly(context.small_set, images.training_set)))


def join_evenly(one: Split, other: Split) -> Split:
    """Both sets together, the smaller repeated so that half of all images come from each."""
    count = max(len(one.images), len(other.images))
    both = [split.take(np.arange(count) % len(split.images)) for split in (one, other)]
    images, labels = (np.concatenate([getattr(split, name) for split in both]) for name in ("images", "labels"))
    return one._replace(images=images, labels=labels)
