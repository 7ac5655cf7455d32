"""A tiny set in YouTube-VIS format in which every pixel says where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 48, 80


def rectangle(x: int, y: int, w: int, h: int) -> np.ndarray:
    """(HEIGHT, WIDTH) uint8 mask of a rectangle, cut at the border."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = 1
    return mask


def compressed(mask: np.ndarray) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask))
    return dict(size=list(mask.shape), counts=rle['counts'].decode())


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    pixels = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff(np.concatenate([[0], edges, [pixels.size]])).tolist()
    return dict(size=list(mask.shape), counts=[0, *runs] if pixels[0] else runs)


def polygon(mask: np.ndarray) -> list[list[int]]:
    x, y, w, h = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask))).astype(int).tolist()
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def annotation(
    number: int, video: int, category: int, masks: list[np.ndarray | None], encode, crowd: int = 0
) -> dict:
    """An annotation record of masks, in one of the three encodings."""
    boxes = [
        None if m is None else coco_mask.toBbox(coco_mask.encode(np.asfortranarray(m))).tolist() for m in masks
    ]
    return dict(
        id=number,
        video_id=video,
        category_id=category,
        segmentations=[None if m is None else encode(m) for m in masks],
        bboxes=boxes,
        areas=[None if m is None else int(m.sum()) for m in masks],
        iscrowd=crowd,
    )


def tiny_gt() -> dict[str, Any]:
    """Videos 1 (8 frames, three objects, one of them a crowd), 2 (6 frames, nothing), 3 (1 frame), 5 (5 frames).

    In video 1 the first object is seen in all frames but 5 and 6, the second in frames 3 to 5: none in frame 6.
    """
    moving = [rectangle(4 + 5 * t, 8, 20, 14) for t in range(8)]
    first = [None if t in (5, 6) else moving[t] for t in range(8)]
    second = [rectangle(50, 20 + t, 16, 12) if 3 <= t <= 5 else None for t in range(8)]
    crowd = [rectangle(60, 2, 15, 9) if t < 2 else None for t in range(8)]
    late = [None, None, None, rectangle(30, 30, 10, 10), rectangle(34, 30, 10, 10)]
    lengths = {1: 8, 2: 6, 3: 1, 5: 5}
    return dict(
        info=dict(description='tiny'),
        videos=[
            dict(
                id=v, width=WIDTH, height=HEIGHT, length=n, file_names=[f'v{v}/{5 * t:05d}.png' for t in range(n)]
            )
            for v, n in lengths.items()
        ],
        # not in the order of ids, with a gap
        categories=[dict(id=7, name='cat'), dict(id=2, name='dog'), dict(id=3, name='bird')],
        annotations=[
            annotation(1, 1, 7, first, compressed),
            annotation(2, 1, 2, second, uncompressed),
            annotation(3, 1, 3, crowd, compressed, crowd=1),
            annotation(4, 3, 3, [rectangle(10, 10, 20, 20)], polygon),
            annotation(6, 5, 2, late, polygon),
        ],
    )


def coordinate_image(frame: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8: blue is 20 times the frame, green 3 y, red 3 x."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([np.full_like(x, 20 * frame), 3 * y, 3 * x], axis=-1).astype(np.uint8)
