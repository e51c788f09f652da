"""Builds on many machines: what a task is, what it needs from this repository, and how its results come home."""
