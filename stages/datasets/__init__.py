"""Data sets, one per file: where the files come from, how they are verified and read, what the classes are called."""
