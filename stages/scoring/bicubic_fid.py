"""FID of bicubic enlargement."""

from stages.scoring.frechet import features_to_fid
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("FID of bicubic enlargement", needs=("bicubic",), position=169)
def bicubic_fid(images: ImageSet, context: Context) -> Estimate:
    """As `fid`, of bicubic enlargements instead of translated images."""
    return Estimate(features_to_fid(images.bicubic.features, context.test_features))
