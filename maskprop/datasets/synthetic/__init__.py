"""Synthetic video sets in YouTube-VIS format: procedural clips, and clips pasted from real videos.

shapes, textures, motion -> scene (what happens) -> rendering (pixels and masks) -> writer (files) -> report
(what the set is good for, by the linkers of oracles). paste, cutouts and source_videos make clips from the masked
objects of real videos instead.
"""
