"""FID of a translator's other domain."""

from stages.scoring.frechet import features_to_fid
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("FID of outlines", needs=("cycles",), position=160)
def outline_fid(images: ImageSet, context: Context) -> Estimate:
    """FID of the outlines that a translator made of test images."""
    made, real, test = (images.cycles[f"{name}_features"] for name in ("made_outline", "train_outline", "outline"))
    return Estimate(features_to_fid(made, test), real=features_to_fid(real, test))
