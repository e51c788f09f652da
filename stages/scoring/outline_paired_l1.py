"""Translation error of outlines."""

from stages.scoring.paired_l1 import images_to_l1
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("translation error of outlines", format=".3f", needs=("cycles",), position=162)
def outline_paired_l1(images: ImageSet, context: Context) -> Estimate:
    """Mean absolute difference of translated digits and their true outlines, in [0, 2]."""
    return Estimate(images_to_l1(images.cycles["made_outlines"], images.cycles["outlines"]))
