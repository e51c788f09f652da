"""Rules between the players: one GAN per file, found by its name."""
