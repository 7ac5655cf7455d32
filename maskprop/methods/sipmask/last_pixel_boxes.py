"""Boxes as mmdet 1.x had them: x2, y2 are the object's last pixel, not the edge behind it."""

from __future__ import annotations

from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class EndBoxesAtLastPixel(BaseTransform):
    """Makes ``gt_bboxes`` end with their last pixel, (x + w - 1, y + h - 1) before the frame was resized.

    The last transform of a frame: mmdet's flips take x2 and y2 for edges.
    """

    def transform(self, results: dict) -> dict:
        width, height = results.get('scale_factor', (1.0, 1.0))
        results['gt_bboxes'][:, 2] -= width
        results['gt_bboxes'][:, 3] -= height
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
