"""Generators and discriminators: one family a file, found by its name."""
