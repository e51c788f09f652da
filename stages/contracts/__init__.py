"""The contracts of components: what the file of a GAN, network, objective or regularizer must define."""
