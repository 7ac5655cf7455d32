"""Masks carried into the next frame by optical flow (PReMVOS, UnOVOST)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pycocotools.mask as mask_utils

from maskprop.ops.masks import encode_mask

DIRECTIONS = ('backward', 'forward_negated')


def warp_masks(rles: Sequence[dict], flow: np.ndarray, direction: str = 'backward') -> list[dict]:
    """Masks in the next frame, one by one: bilinear, nothing outside the frame, mask from a half on.

    Args:
        rles: N masks of frame t, at the video's size H x W.
        flow: (H, W, 2) float32, x before y, in pixels.
        direction: what the flow is. ``'backward'``: from t + 1 to t: the mask at p + F(p) is at p, exactly.
            ``'forward_negated'``: from t to t + 1, read at p in t + 1: the mask at p - F(p), as PReMVOS does.

    Returns:
        N RLEs. OpenCV rounds the places to 1/32 pixel.
    """
    if not rles:
        return []
    height, width = flow.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    place = grid + flow if direction == 'backward' else grid - flow
    maps = cv2.convertMaps(place, None, cv2.CV_16SC2)  # once for all masks
    # values of 0 and 1 are rounded, a half up
    return [encode_mask(cv2.remap(mask_utils.decode(rle), *maps, cv2.INTER_LINEAR)) for rle in rles]
