"""What every variant shares: the game and the engine that plays it."""
