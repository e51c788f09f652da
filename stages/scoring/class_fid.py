"""FID class by class."""

from stages.scoring.class_share import LISTED
from stages.scoring.frechet import features_to_fid
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("FID of each class", needs=("features", "logits"), position=123)
def class_fid(images: ImageSet, context: Context) -> Estimate | None:
    """FID of each class's samples to the test images of that class. Few images each: larger than the FID of all."""
    if len(context.classes) > LISTED:
        return None
    fids = {}
    for label, name in enumerate(context.classes):
        samples, real = images.features[images.predicted == label], context.test_features[context.test_labels == label]
        if min(len(samples), len(real)) > images.features.shape[1]:  # fewer have no covariance
            fids[name] = features_to_fid(samples, real)
    return Estimate(fids)
