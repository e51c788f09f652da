"""Classification accuracy score (Ravuri and Vinyals, 2019, section 3)."""

from stages.scoring.score import Context, Estimate, ImageSet, score


@score("downstream accuracy, samples", better="higher", format=".1%", needs=("training_set",), position=150)
def classification_accuracy(images: ImageSet, context: Context) -> Estimate:
    """Accuracy on test images of a classifier that learned from samples alone."""
    return Estimate(context.train_and_test(images.training_set))
