"""Loading and filtering the annotations of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import LoadTrackAnnotations
from mmdet.registry import TRANSFORMS

from maskprop.datasets.ytvis_json import AnnotationError


@TRANSFORMS.register_module()
class LoadVideoAnnotations(LoadTrackAnnotations):
    """mmdet's ``LoadTrackAnnotations`` that says which frame does not have the size its annotation file gives.

    Adds ``gt_bboxes`` (n, 4) float32, ``gt_bboxes_labels`` (n,) int64, ``gt_instances_ids`` (n,) int32,
    ``gt_ignore_flags`` (n,) bool and ``gt_masks`` (``BitmapMasks`` of n masks); n may be 0.

    Args:
        with_mask: Load masks.
        **kwargs: As mmdet's.

    Raises:
        AnnotationError: The frame has another size than its video.
    """

    def __init__(self, with_mask: bool = True, **kwargs: Any) -> None:
        super().__init__(with_mask=with_mask, **kwargs)

    def transform(self, results: dict) -> dict:
        expected = results['height'], results['width']
        if tuple(results['ori_shape']) != expected:
            height, width = results['ori_shape']
            raise AnnotationError(
                f'{results["img_path"]}: video {results["video_id"]}, frame {results["frame_id"]}: the image is '
                f'{width} x {height}, but its annotations say {expected[1]} x {expected[0]} (width x height); '
                'maskprop check GT.json --images DIR lists all such frames'
            )
        return super().transform(results)


@TRANSFORMS.register_module()
class FilterVideoAnnotations(BaseTransform):
    """Drops objects of which a crop or a resize left nothing; a frame may end up without any.

    In place of mmdet's ``FilterAnnotations``, which does not filter ``gt_instances_ids``, so that ids no longer
    belong to their masks.

    Args:
        min_mask_area: Masks must have this many pixels.
        min_box_side: Boxes must be wider and higher than this, in pixels.
    """

    KEYS = ('gt_bboxes', 'gt_bboxes_labels', 'gt_instances_ids', 'gt_ignore_flags', 'gt_masks')

    def __init__(self, min_mask_area: int = 1, min_box_side: float = 0) -> None:
        self.min_mask_area = min_mask_area
        self.min_box_side = min_box_side

    def transform(self, results: dict) -> dict:
        boxes = results['gt_bboxes']  # (n, 4) float32
        keep = ((boxes[:, 2:] - boxes[:, :2]) > self.min_box_side).all(axis=1)
        # counted, not summed as BitmapMasks.areas: 0 and 1 only, and several times as fast
        areas = [np.count_nonzero(mask) for mask in results['gt_masks'].masks]
        keep &= np.array(areas, dtype=np.int64) >= self.min_mask_area
        if keep.all():
            return results
        for key in self.KEYS:
            results[key] = results[key][keep]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(min_mask_area={self.min_mask_area}, min_box_side={self.min_box_side})'
