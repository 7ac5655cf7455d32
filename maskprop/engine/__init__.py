"""Training and testing machinery: loops, hooks, checkpoints, random states, launchers.

This file imports nothing, so that light modules (:mod:`maskprop.utils.random_state`) stay cheap to import.
"""
