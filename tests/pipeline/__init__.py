"""The whole pipeline in the smoke budget: one build, what it comes to, and what happens to it then."""
