"""Masks pasted as mmdet 0.x and 1.x did, against a slow literal form."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as mask_api
import torch

from maskprop.methods.masktrack_rcnn.legacy_paste import paste_legacy_masks


def paste_literally(roi_mask: np.ndarray, box, height: int, width: int, threshold: float) -> np.ndarray:
    x1, y1, x2, y2 = (int(value) for value in box)
    w, h = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    side = len(roi_mask)
    mask = np.zeros((height, width), bool)
    for y in range(max(y1, 0), min(y1 + h, height)):
        for x in range(max(x1, 0), min(x1 + w, width)):
            v = min(max((y - y1 + 0.5) * side / h - 0.5, 0), side - 1)
            u = min(max((x - x1 + 0.5) * side / w - 0.5, 0), side - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, side - 1), min(left + 1, side - 1)
            a, b = v - top, u - left
            value = (1 - a) * ((1 - b) * roi_mask[top, left] + b * roi_mask[top, right])
            value += a * ((1 - b) * roi_mask[bottom, left] + b * roi_mask[bottom, right])
            mask[y, x] = value > threshold
    return mask


def decode(rles) -> np.ndarray:
    return mask_api.decode(rles).astype(bool).transpose(2, 0, 1)


def test_equals_the_literal_form():
    generator = torch.Generator().manual_seed(0)
    roi_masks = torch.rand(6, 7, 7, generator=generator)
    boxes = torch.tensor(
        [
            [3.9, 2.2, 20.7, 15.1],
            [0, 0, 39, 29],
            [30.5, 20, 45, 35],  # beyond the image
            [-0.9, -3.5, 12, 9],
            [8, 8, 8.4, 8.9],  # one pixel
            [9, 5, 8, 3],  # turned about: still a pixel
        ]
    )
    rles = paste_legacy_masks(roi_masks, boxes, 30, 40, 0.4)
    for mask, roi_mask, box in zip(decode(rles), roi_masks.numpy(), boxes.tolist(), strict=True):
        expected = paste_literally(roi_mask, box, 30, 40, 0.4)
        assert np.array_equal(mask, expected) and mask.any()


def test_box_in_whole_pixels_and_strict_threshold():
    whole = torch.ones(1, 4, 4)
    (mask,) = decode(paste_legacy_masks(whole, torch.tensor([[2.0, 1, 4, 2]]), 5, 8))
    assert np.argwhere(mask).tolist() == [[y, x] for y in (1, 2) for x in (2, 3, 4)]
    assert not decode(paste_legacy_masks(whole / 2, torch.tensor([[2.0, 1, 4, 2]]), 5, 8)).any()
    assert paste_legacy_masks(whole[:0], torch.zeros(0, 4), 5, 8) == []
    outside = paste_legacy_masks(whole.repeat(2, 1, 1), torch.tensor([[10.0, 7, 20, 17], [-9, -9, -2, -3]]), 5, 8)
    assert not decode(outside).any()
