"""One object cut out of its frame, and a crop's brightness."""

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
        context: width and height of the crop in units of the box's, about the same middle.
    """

    def __init__(self, jitter: float = 0.0, context: float = 1.0) -> None:
        if not 0 <= jitter < 0.5:
            raise ValueError(f'jitter={jitter}: expected 0 or more, below 0.5')
        if context <= 0:
            raise ValueError(f'context={context}: expected above 0')
        self.jitter = jitter
        self.context = context

    def transform(self, results: dict) -> dict:
        """``img`` becomes (h, w, 3) and ``img_shape`` (h, w), of ``bbox`` (x1, y1, x2, y2 in pixels)."""
        height, width = results['img'].shape[:2]
        box = np.array(results['bbox'], dtype=np.float64)
        if self.jitter:
            sides = np.tile(box[2:] - box[:2], 2)
            box += sides * np.random.uniform(-self.jitter, self.jitter, 4)
        box += (self.context - 1) / 2 * np.tile(box[2:] - box[:2], 2) * (-1, -1, 1, 1)
        x1, y1 = np.clip(box[:2].astype(int), 0, (width - 1, height - 1))
        x2, y2 = np.clip(box[2:].astype(int), (x1 + 1, y1 + 1), (width, height))
        results['img'] = results['img'][y1:y2, x1:x2]
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(jitter={self.jitter}, context={self.context})'


@TRANSFORMS.register_module()
class RandomGamma(BaseTransform):
    """Another gamma for the image: v^g of v in 0..1, with the g that takes .5 - w to .5 + w, w = u / sqrt 2.

    Pohlen et al., *Full-Resolution Residual Networks*, CVPR 2017: g = log(.5 + w) / log(.5 - w).

    Args:
        amount: u is drawn uniformly from -amount to amount, from numpy's global generator.

    Raises:
        ValueError: ``amount`` is not between 0 and .5.
    """

    def __init__(self, amount: float = 0.05) -> None:
        if not 0 <= amount < 0.5:
            raise ValueError(f'amount={amount}: expected 0 or more, below 0.5')
        self.amount = amount

    def transform(self, results: dict) -> dict:
        """``img``, (h, w, 3) uint8, keeps its type."""
        shift = np.random.uniform(-self.amount, self.amount) / np.sqrt(2)
        gamma = np.log(0.5 + shift) / np.log(0.5 - shift)
        table = np.round(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
        results['img'] = table[results['img']]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(amount={self.amount})'
