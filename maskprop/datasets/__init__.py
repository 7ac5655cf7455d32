"""Reading YouTube-VIS data: files (``ytvis_json``), the data set, its samplers and transforms, splits.

Importing this package imports nothing else, so ``ytvis_json`` is usable without torch.
"""
