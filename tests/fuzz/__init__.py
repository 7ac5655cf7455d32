"""Mutants of every kind of input, told to the tools' own readers: python -m tests.fuzz --help."""
