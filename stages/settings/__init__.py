"""What stages are told: params.yaml, the command line, and how they say no."""
