"""Cycle error of digits."""

from stages.scoring.paired_l1 import images_to_l1
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("cycle error", format=".3f", needs=("pairs", "cycles"), position=163)
def cycle_l1(images: ImageSet, context: Context) -> Estimate:
    """Mean absolute difference of digits before and after the whole cycle, in [0, 2]."""
    return Estimate(images_to_l1(images.cycles["cycled_digits"], images.pairs["digits"]))
