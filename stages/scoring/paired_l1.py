"""Translation error of images."""

import numpy as np

from stages.scoring.score import Context, Estimate, ImageSet, score


@score("translation error", format=".3f", needs=("pairs",), position=161)
def paired_l1(images: ImageSet, context: Context) -> Estimate:
    """Mean absolute difference of translated images and their originals, in [0, 2]."""
    return Estimate(images_to_l1(images.pixels, images.pairs["digits"]))


def images_to_l1(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of uint8 images (count, channels, height, width), as if in [-1, 1]: 0 to 2.

    Raises ValueError where the shapes differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"expected images of one shape, got {one.shape} and {other.shape}")
    difference = sum(int(np.abs(image.astype(np.int16) - like).sum()) for image, like in zip(one, other, strict=True))
    return difference / one.size / 127.5
