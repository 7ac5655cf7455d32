"""From RoI masks to maps and images, and from ground-truth bitmaps to the propagation stride."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pycocotools.mask as mask_utils
import torch
import torch.nn.functional as F
from torch import Tensor

MIN_BOX_SIDE = 1e-3  # cells or pixels: a degenerate box would divide zero by zero when pasted


def paste_soft_masks(roi_masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Paste RoI masks into a map, bilinearly, zero outside their boxes.

    Equal to ``_do_paste_mask`` of mmdet with ``skip_empty=False``, which waits for a GPU to look for boxes without
    area.

    Args:
        roi_masks: (N, m, m) float in [0, 1].
        boxes: (N, 4) float, (x1, y1, x2, y2) in units of the map's cells.
        height, width: size of the map.

    Returns:
        (N, height, width) float32.
    """
    if len(boxes) == 0:
        return roi_masks.new_zeros((0, height, width), dtype=torch.float32)
    x1, y1, x2, y2 = _non_degenerate(boxes)[:, None].unbind(2)
    x, y = (
        (torch.arange(length, device=boxes.device).float() + 0.5 - low) / (high - low) * 2 - 1
        for low, high, length in ((x1, x2, width), (y1, y2, height))
    )
    shape = (len(boxes), height, width)
    grid = torch.stack([x[:, None].expand(shape), y[:, :, None].expand(shape)], 3)
    return F.grid_sample(roi_masks[:, None].float(), grid, align_corners=False)[:, 0]


def paste_binary_masks(
    roi_masks: Tensor, boxes: Tensor, height: int, width: int, threshold: float = 0.5
) -> list[dict]:
    """Paste RoI masks into the image, threshold and encode them: each where its box is, and nowhere else.

    Equal to ``_do_paste_mask`` of mmdet with ``skip_empty=True``, one mask at a time.

    Args:
        roi_masks: (N, m, m) float in [0, 1].
        boxes: (N, 4) float, (x1, y1, x2, y2) in pixels of the image.
        height, width: size of the image in pixels.
        threshold: a pixel is foreground at this probability or above.

    Returns:
        N compressed RLEs, ``{'size': [height, width], 'counts': str}``.
    """
    # on the CPU, where RLE is made, and in numpy but for the sampling: calls of torch cost more than their work
    masks = roi_masks.detach().cpu().float()[:, None, None]
    crops = []
    for mask, (x1, y1, x2, y2) in zip(masks, _non_degenerate(boxes.detach().cpu()).numpy(), strict=True):
        xs, left = _cell_coordinates(x1, x2, width)
        ys, top = _cell_coordinates(y1, y2, height)
        grid = np.empty((1, len(ys), len(xs), 2), dtype=np.float32)
        grid[..., 0], grid[..., 1] = xs, ys[:, None]
        if grid.size:
            pasted = F.grid_sample(mask, torch.from_numpy(grid), align_corners=False).numpy()[0, 0]
            crops.append((pasted >= threshold, top, left))
        else:
            crops.append((np.zeros((0, 0), dtype=bool), 0, 0))
    return encode_crops(crops, height, width)


def _cell_coordinates(low: np.float32, high: np.float32, length: int) -> tuple[np.ndarray, int]:
    """Where the centres of the pixels from ``low`` to ``high`` lie in a box, from -1 to 1, and the first pixel."""
    first = int(max(np.floor(low) - 1, 0)) if np.isfinite(low) else 0
    end = int(min(np.ceil(high) + 1, length)) if np.isfinite(high) else length
    centres = np.arange(first, max(end, first), dtype=np.float32) + np.float32(0.5)
    return (centres - low) / (high - low) * np.float32(2) - np.float32(1), first


def encode_crops(crops: Iterable[tuple[np.ndarray, int, int]], height: int, width: int) -> list[dict]:
    """Compressed RLEs of masks that are known in a part of the image and empty elsewhere.

    Args:
        crops: N tuples of an (h, w) bool mask and the image's row and column of its first pixel.
        height, width: size of the image in pixels.

    Returns:
        N dicts ``{'size': [height, width], 'counts': str}``, as :func:`encode_mask` gives them for whole masks.
    """
    size = [int(height), int(width)]
    runs = [dict(size=size, counts=_run_lengths(*crop, *size)) for crop in crops]
    encoded = mask_utils.frPyObjects(runs, *size) if runs else []
    return [dict(size=size.copy(), counts=rle['counts'].decode('ascii')) for rle in encoded]


def _run_lengths(crop: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Lengths of background and foreground in turn, down the columns of the image."""
    columns = np.zeros((crop.shape[1], height), dtype=bool)
    columns[:, top : top + crop.shape[0]] = crop.T
    pixels = columns.ravel()
    first, total = left * height, height * width
    changes = first + 1 + np.flatnonzero(pixels[1:] != pixels[:-1])
    begins = [first] if pixels.size and pixels[0] else []
    ends = [first + pixels.size] if pixels.size and pixels[-1] and first + pixels.size < total else []
    bounds = np.concatenate([[0], begins, changes, ends, [total]]).astype(np.int64)
    return bounds[1:] - bounds[:-1]


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
    boxes = boxes.float()  # in half precision a side that small would be rounded away
    return torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + MIN_BOX_SIDE)], 1)
