"""Pure steps from images to features to scores."""
