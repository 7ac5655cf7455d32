"""Weights of other projects, turned into checkpoints that this project's models load. See docs/checkpoints.md.

``goldens`` compares methods, with converted weights, to the numbers of their reference codes.
"""
