"""What a small set of real images is good for without samples."""

from stages.scoring.score import Context, Estimate, ImageSet, score


@score("downstream accuracy, small set", better="higher", format=".1%", needs=("training_set",), position=152)
def small_set_accuracy(images: ImageSet, context: Context) -> Estimate:
    """Accuracy on test images of a classifier that learned from the small real set alone."""
    known = context.baseline.get("small_set_accuracy")  # the same for all samples
    return Estimate(known["value"] if known else context.train_and_test(context.small_set))
