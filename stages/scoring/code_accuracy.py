"""Do InfoGAN's codes stand for classes (Chen et al., 2016, section 7.2)?"""

import numpy as np

from stages.scoring.score import Context, Estimate, ImageSet, score


@score(better="higher", format=".1%", needs=("codes", "logits"), baseline="test", position=142)
def code_accuracy(images: ImageSet, context: Context) -> Estimate:
    """Share of samples whose class is the one that their code stands for, under the best one-to-one matching."""
    return Estimate(codes_to_accuracy(images.codes, images.predicted))


def codes_to_accuracy(codes: np.ndarray, classes: np.ndarray) -> float:
    """Share of images whose class (count,) is the one their code (count,) stands for, in [0, 1].

    Each code stands for one class at most and each class for one code: the matching that makes the share largest,
    found by the Hungarian method (Kuhn, 1955). Raises ValueError where the lengths differ or are zero.
    """
    from scipy.optimize import linear_sum_assignment  # its import takes a second, which few variants need

    if codes.shape != classes.shape or not len(codes):
        raise ValueError(f"expected one class a code, got {classes.shape} and {codes.shape}")
    size = int(max(codes.max(), classes.max())) + 1
    together = np.zeros((size, size), np.int64)
    np.add.at(together, (codes, classes), 1)
    return float(together[linear_sum_assignment(together, maximize=True)].sum() / len(codes))
