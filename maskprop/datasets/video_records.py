"""A video of an annotation file as the record that mmdet's transforms take."""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskprop.datasets.rle import compress
from maskprop.datasets.ytvis_json import Annotation, Video


def video_record(
    video: Video,
    annotations: Sequence[Annotation],
    first_image: int,
    labels: Mapping[int, int],
    folder: str,
    test_mode: bool = False,
) -> dict[str, Any]:
    """A dict with ``video_id``, ``video_length``, ``unknown_labels`` and ``images``.

    An image has ``img_id``, ``img_path``, ``file_name``, ``height``, ``width``, ``frame_id`` (its place among the
    used frames), ``video_id`` and ``instances``: dicts of ``bbox`` (x1, y1, x2, y2 in pixels), ``bbox_label``,
    ``mask`` (compressed RLE; in training polygons stay polygons, few of which a sample needs), ``instance_id``
    (the annotation's id) and ``ignore_flag`` (1 for a crowd); ``box_only`` (True) where ``mask`` is the filled box
    of an object without one.

    Args:
        video, annotations: of one video, as ``load_ytvis`` gives them for training.
        first_image: ``img_id`` of its first frame.
        labels: by category id.
        folder: that ``file_names`` are relative to.
        test_mode: leave out objects without masks; all masks are RLE.
    """
    height, width, video_id = video['height'], video['width'], video['id']
    instances: list[list[dict]] = [[] for _ in video['file_names']]
    for annotation in annotations:
        fixed: dict[str, Any] = dict(instance_id=annotation['id'], ignore_flag=annotation['iscrowd'])
        masks, visible = annotation['segmentations'], annotation.get('visible', ())
        if annotation.get('box_only'):
            if test_mode:
                continue
            fixed['box_only'] = True
            masks, visible = _filled_boxes(annotation, height, width)
        elif test_mode:
            masks = [mask and compress(mask, height, width) for mask in masks]
        frames = np.flatnonzero(visible).tolist()
        label = labels[annotation['category_id']]
        corners = _corners(annotation.get('bboxes') or [None] * len(masks), masks, frames, height, width)
        for frame, box in zip(frames, corners, strict=True):
            instances[frame].append({'bbox': box, 'bbox_label': label, 'mask': masks[frame], **fixed})
    within = osp.join(folder, '')
    images = [
        {
            'img_id': first_image + frame,
            'img_path': name if osp.isabs(name) else within + name,
            'file_name': name,
            'height': height,
            'width': width,
            'frame_id': frame,
            'video_id': video_id,
            'instances': instances[frame],
        }
        for frame, name in enumerate(video['file_names'])
    ]
    unknown = [labels[i] for i in video.get('unknown_categories') or () if i in labels]
    return dict(video_id=video_id, video_length=len(images), images=images, unknown_labels=unknown)


def _filled_boxes(annotation: Annotation, height: int, width: int) -> tuple[list[Any], list[bool]]:
    """The boxes of an object without masks as masks."""
    boxes = annotation.get('bboxes') or [None] * len(annotation['segmentations'])
    masks = [None if box is None else compress(_filled(box), height, width) for box in boxes]
    return masks, [mask is not None and coco_mask.area(mask) > 0 for mask in masks]


def _filled(box: list[float]) -> list[list[float]]:
    """The polygon of a box (x, y, width, height), of a pixel's side at least."""
    x, y, width, height = box
    right, bottom = x + max(width, 1), y + max(height, 1)
    return [[x, y, right, y, right, bottom, x, bottom]]


def _corners(
    boxes: Sequence[list[float] | None], masks: Sequence[Any], frames: list[int], height: int, width: int
) -> list[list[float]]:
    """The boxes of some frames as x1, y1, x2, y2 inside the picture; those of masks where the file gives none."""
    given = np.array([boxes[i] or (0, 0, 0, 0) for i in frames], dtype=np.float64).reshape(-1, 4)
    start = np.maximum(given[:, :2], 0)
    stop = np.minimum(given[:, :2] + given[:, 2:], (width, height))
    corners = np.concatenate([start, stop], axis=1).tolist()
    for row in np.flatnonzero((stop <= start).any(axis=1)):
        x, y, w, h = coco_mask.toBbox(compress(masks[frames[row]], height, width)).tolist()
        corners[row] = [x, y, x + w, y + h]
    return corners
