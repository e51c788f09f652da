"""No penalty."""

from stages.contracts.regularizer import Regularizer


class NoPenalty(Regularizer):
    """Leaves the discriminator as it is."""
