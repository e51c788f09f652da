"""FID class by class."""

import numpy as np

from stages.scoring.class_share import LISTED
from stages.scoring.frechet import features_to_fid
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("FID of each class", needs=("features", "logits"), position=123)
def class_fid(images: ImageSet, context: Context) -> Estimate | None:
    """FID of each class's samples to the test images of that class. Few images each: larger than the FID of all."""
    if len(context.classes) > LISTED:
        return None
    fids = class_fids(images.features, images.predicted, context.test_features, context.test_labels)
    return Estimate({context.classes[label]: fid for label, fid in fids.items()})


def class_fids(
    features: np.ndarray, classes: np.ndarray, reference: np.ndarray, reference_classes: np.ndarray
) -> dict[int, float]:
    """FID of each class's images (features (images, dims), classes (images,)) against the reference's of that class.

    A class with no more images than dims on either side has none: too few for a covariance.
    """
    fids = {}
    for label in np.unique(reference_classes).tolist():
        one, other = features[classes == label], reference[reference_classes == label]
        if min(len(one), len(other)) > features.shape[1]:
            fids[label] = features_to_fid(one, other)
    return fids
