"""Weights of other projects, turned into checkpoints that this project's models load. See docs/checkpoints.md.

``objprop_goldens`` compares ObjProp's modules, with its weights converted, to its reference numbers.
"""
