"""Observers: they record and show what a stage does, and cannot change a result."""
