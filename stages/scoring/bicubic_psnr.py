"""Peak signal-to-noise ratio of bicubic enlargement."""

from stages.scoring.intervals import mean_to_estimate
from stages.scoring.psnr import images_to_psnr
from stages.scoring.score import Context, Estimate, ImageSet, score


@score("PSNR of bicubic enlargement", better="higher", needs=("pairs", "bicubic"), position=167)
def bicubic_psnr(images: ImageSet, context: Context) -> Estimate:
    """As `psnr`, of bicubic enlargements instead of translated images, in dB."""
    return mean_to_estimate(images_to_psnr(images.bicubic.pixels, images.pairs["digits"]))
