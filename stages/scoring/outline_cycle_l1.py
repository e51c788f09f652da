"""Cycle error of outlines."""

from stages.scoring.paired_l1 import images_to_l1
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("cycle error of outlines", format=".3f", needs=("cycles",), position=164)
def outline_cycle_l1(images: ImageSet, context: Context) -> Estimate:
    """Mean absolute difference of outlines before and after the whole cycle, in [0, 2]."""
    return Estimate(images_to_l1(images.cycles["cycled_outlines"], images.cycles["outlines"]))
