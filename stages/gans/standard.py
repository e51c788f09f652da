"""The standard GAN: one generator against one discriminator (Goodfellow et al., 2014)."""

from stages.contracts.gan import GANOptions


class StandardOptions(GANOptions):
    """No options but those of every GAN."""
