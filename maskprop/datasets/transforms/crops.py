"""One object cut out of its frame."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CropInstance(BaseTransform):
    """Crops the image to ``bbox``, in whole pixels inside the image, one at least.

    Whole pixels as mmdet's trackers cut them out: corners are rounded down.

    Args:
        jitter: each side of the box is moved by up to this share of the box's width or height, as detected boxes
            are off the true ones; drawn from numpy's global generator.
    """

    def __init__(self, jitter: float = 0.0) -> None:
        if not 0 <= jitter < 0.5:
            raise ValueError(f'jitter={jitter}: expected 0 or more, below 0.5')
        self.jitter = jitter

    def transform(self, results: dict) -> dict:
        """``img`` becomes (h, w, 3) and ``img_shape`` (h, w), of ``bbox`` (x1, y1, x2, y2 in pixels)."""
        height, width = results['img'].shape[:2]
        box = np.array(results['bbox'], dtype=np.float64)
        if self.jitter:
            sides = np.tile(box[2:] - box[:2], 2)
            box += sides * np.random.uniform(-self.jitter, self.jitter, 4)
        x1, y1 = np.clip(box[:2].astype(int), 0, (width - 1, height - 1))
        x2, y2 = np.clip(box[2:].astype(int), (x1 + 1, y1 + 1), (width, height))
        results['img'] = results['img'][y1:y2, x1:x2]
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(jitter={self.jitter})'
