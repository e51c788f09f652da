"""Files, images and weights on disk: atomic, and without pickle."""
