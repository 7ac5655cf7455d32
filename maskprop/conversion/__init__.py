"""Weights of other projects, turned into checkpoints that this project's models load. See docs/checkpoints.md."""
