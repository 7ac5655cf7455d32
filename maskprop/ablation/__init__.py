"""Studies from one command: what tools/ablate.py plans, runs and tabulates (docs/ablations.md)."""
