"""What samples add to a small set of real images."""

import numpy as np

from stages.scoring.score import Context, Estimate, ImageSet, score
from stages.storage.files import scratch_array
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
    images = scratch_array((2 * count, *one.image_shape), np.uint8)
    for half, split in ((images[:count], one), (images[count:], other)):
        np.take(split.images, np.arange(count), axis=0, out=half, mode="wrap")
    labels = [np.resize(split.labels, count) for split in (one, other)]
    return one._replace(images=images, labels=np.concatenate(labels))
