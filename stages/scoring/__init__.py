"""Scores, one a file, and the arithmetic that several of them share."""
