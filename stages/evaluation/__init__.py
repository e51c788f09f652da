"""What images are made into before they are scored: features, manifolds, nearest neighbours, and their context."""
