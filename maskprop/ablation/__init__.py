"""Studies from one command: what maskprop ablate plans, runs and tabulates (docs/ablations.md)."""
