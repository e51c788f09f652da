"""Rules between the players: one game a file, found by its name."""
