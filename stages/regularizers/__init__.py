"""Ways of taming the discriminator: one a file, found by its name."""
