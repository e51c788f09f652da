"""Load a trained generator, and choose which of its checkpoints to sample from."""
