"""Checks of the stages, in folders like theirs. A package, since one that a dependency installs has the same name."""
