"""Structural similarity of bicubic enlargement."""

from stages.scoring.score import Context, Estimate, ImageSet, score
from stages.scoring.ssim import images_to_estimate


@score("SSIM of bicubic enlargement", better="higher", format=".3f", needs=("pairs", "bicubic"), position=168)
def bicubic_ssim(images: ImageSet, context: Context) -> Estimate | None:
    """As `ssim`, of bicubic enlargements instead of translated images."""
    return images_to_estimate(images.bicubic.pixels, images.pairs["digits"])
