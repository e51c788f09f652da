"""FID to validation images."""

from stages.scoring.frechet import features_to_fid
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("FID to validation images", position=100)
def validation_fid(images: ImageSet, context: Context) -> Estimate:
    """FID to validation images. Choose settings by it: test images should judge once."""
    return Estimate(features_to_fid(images.features, context.validation_features))
