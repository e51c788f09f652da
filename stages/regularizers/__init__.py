"""Ways of taming the discriminator: one per file, found by its name."""
