"""The standard game: one generator against one discriminator (Goodfellow et al., 2014)."""

from stages.adversarial import game


class Game(game.Rules):
    """No options but those of every game."""
