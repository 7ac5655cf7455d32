"""From RoI masks to maps and images, and from ground-truth bitmaps to the propagation stride."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pycocotools.mask as mask_utils
import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from torch import Tensor

MIN_BOX_SIDE = 1e-3  # cells or pixels: a degenerate box would divide zero by zero when pasted
SMALL_IMAGE = 2**15  # pixels; up to here, all masks pasted into the whole image cost less than each into its box


def paste_soft_masks(roi_masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Paste RoI masks into a map, bilinearly, zero outside their boxes.

    Args:
        roi_masks: (N, m, m) float in [0, 1].
        boxes: (N, 4) float, (x1, y1, x2, y2) in units of the map's cells.
        height, width: size of the map.

    Returns:
        (N, height, width) float32.
    """
    if len(boxes) == 0:
        return roi_masks.new_zeros((0, height, width), dtype=torch.float32)
    return _do_paste_mask(roi_masks[:, None], _non_degenerate(boxes), height, width, skip_empty=False)[0]


def paste_binary_masks(
    roi_masks: Tensor, boxes: Tensor, height: int, width: int, threshold: float = 0.5
) -> list[dict]:
    """Paste RoI masks into the image, threshold and encode them.

    In images above ``SMALL_IMAGE`` one by one, where only a mask's own box is touched.

    Args:
        roi_masks: (N, m, m) float in [0, 1].
        boxes: (N, 4) float, (x1, y1, x2, y2) in pixels of the image.
        height, width: size of the image in pixels.
        threshold: a pixel is foreground at this probability or above.

    Returns:
        N compressed RLEs, ``{'size': [height, width], 'counts': str}``.
    """
    # on the CPU, where RLE is made: on a GPU each mask would wait for it several times
    roi_masks, boxes = roi_masks.cpu(), boxes.cpu()
    # below a half, more than a box's own pixels would be foreground: of a border half a mask's cell wide
    if height * width <= SMALL_IMAGE and threshold >= 0.5:
        binary = paste_soft_masks(roi_masks, boxes, height, width) >= threshold
        return [encode_mask(mask) for mask in binary.numpy()]
    encoded = []
    for roi_mask, box in zip(roi_masks[:, None, None], _non_degenerate(boxes)[:, None], strict=True):
        mask = np.zeros((height, width), dtype=np.uint8, order='F')
        pasted, (rows, columns) = _do_paste_mask(roi_mask, box, height, width, skip_empty=True)
        if pasted.numel():
            mask[int(rows.start) : int(rows.stop), int(columns.start) : int(columns.stop)] = (
                pasted[0] >= threshold
            ).numpy()
        encoded.append(encode_mask(mask))
    return encoded


def encode_mask(mask: np.ndarray) -> dict:
    """Compressed RLE of a binary mask.

    Args:
        mask: (H, W) uint8 or bool.

    Returns:
        ``{'size': [H, W], 'counts': str}``, ready for JSON.
    """
    rle = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(v) for v in rle['size']], counts=rle['counts'].decode('ascii'))


def downsample_masks(masks: Tensor, stride: int) -> Tensor:
    """Binary masks at a stride: a cell is foreground when half of its area is, and at least one cell is.

    Args:
        masks: (N, H, W) bool or 0/1, H and W multiples of ``stride``.
        stride: cell size in pixels.

    Returns:
        (N, H / stride, W / stride) float32 of 0 and 1; an empty mask stays empty.
    """
    if len(masks) == 0:
        return masks.new_zeros((0, masks.shape[1] // stride, masks.shape[2] // stride), dtype=torch.float32)
    share = F.avg_pool2d(masks.float()[:, None], stride)[:, 0]
    largest = share.flatten(1).amax(1)[:, None, None]
    # small or thin objects: the cells with the largest share stand for them
    keep = (share >= 0.5) | ((largest < 0.5) & (share == largest) & (share > 0))
    return keep.float()


def resize_masks(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Masks at another size: (N, h, w) soft or binary ones to (N, H, W) bool, from a half on, bilinearly."""
    if tuple(masks.shape[-2:]) == tuple(size) or len(masks) == 0:
        return masks.new_zeros((0, *size), dtype=torch.bool) if len(masks) == 0 else masks >= 0.5
    return F.interpolate(masks[:, None].float(), tuple(size), mode='bilinear')[:, 0] >= 0.5


def _non_degenerate(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + MIN_BOX_SIDE)], 1).float()
