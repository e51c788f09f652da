"""What the two players optimise: one pair of losses a file, found by its name."""
