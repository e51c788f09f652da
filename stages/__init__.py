"""The pipeline: one command a DVC stage, and the parts that the commands are made of."""
