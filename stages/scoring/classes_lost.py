"""Classes that a generator hardly makes."""

from stages.scoring.score import Context, Estimate, ImageSet, score

LOST_SHARE = 0.3  # of the share that a class has among real images
CHANCE = 1e-3  # of so few samples of a class by chance alone, above which it does not count as lost


@score(format="g", needs=("logits",), position=120)
def classes_lost(images: ImageSet, context: Context) -> Estimate:
    """Number of classes with less than 0.3 of their share of real images, where chance does not explain it."""
    shares = dict(zip(context.classes, context.class_shares.tolist(), strict=True))
    # what the classifier sees in real images: it may not know a class; with very many classes there is no such record
    shares |= context.baseline.get("class_share", {}).get("value", {})
    found, count = images.class_shares.tolist(), len(images.logits)
    return Estimate(sum(is_lost(one, shares[name], count) for name, one in zip(context.classes, found, strict=True)))


def is_lost(share: float, real: float, samples: int) -> bool:
    """Whether a class with this share of so many samples is lost, given its share of real images.

    By chance the count follows a Poisson distribution.
    """
    from scipy.special import pdtr  # slow to import, and few classes get here

    return share < LOST_SHARE * real and bool(pdtr(round(share * samples), real * samples) < CHANCE)
