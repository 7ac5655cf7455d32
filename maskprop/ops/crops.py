"""Square windows around boxes, cut out of images and masks at a fixed resolution (MaskProp, Section 4.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

MIN_SIDE = 1.0  # pixels: the window of a degenerate box must still be one


def square_windows(boxes: Tensor, context: float = 1.5) -> Tensor:
    """Square windows centred on boxes; they may reach over the image's border.

    Args:
        boxes: (N, 4) float, (x1, y1, x2, y2).
        context: a window's side in units of the box's longer side.

    Returns:
        (N, 4) float32, in the unit of the boxes.
    """
    corners = boxes.float().view(-1, 2, 2)
    centres = corners.mean(1)
    sides = (corners[:, 1] - corners[:, 0]).amax(1, keepdim=True).mul(context).clamp(min=MIN_SIDE)
    return torch.cat([centres - sides / 2, centres + sides / 2], 1)


def crop_windows(maps: Tensor, windows: Sequence[Tensor], size: int) -> Tensor:
    """Resize windows of maps to squares: bilinear, area-averaged where it shrinks, zero outside the map.

    Pasting a crop at its window (:func:`maskprop.ops.masks.paste_soft_masks`) puts every pixel back where it was.

    Args:
        maps: (B, C, H, W) float.
        windows: B tensors (N_b, 4) float, (x1, y1, x2, y2) in pixels of the map, N of all maps.
        size: side of the crops in pixels.

    Returns:
        (N, C, size, size) float32, without a gradient to the windows.
    """
    # RoIAlign repeats a map's outermost pixels for one pixel beyond the border; after this they are zeros
    padded = F.pad(maps.float(), (1, 1, 1, 1))
    return roi_align(padded, [w.float() + 1 for w in windows], size, sampling_ratio=-1, aligned=True)


def boxes_in_windows(boxes: Tensor, windows: Tensor, size: int) -> Tensor:
    """Boxes in pixels of their windows' crops.

    Args:
        boxes: (N, 4) float. windows: (N, 4) float, square, in the same unit.
        size: side of the crops in pixels.

    Returns:
        (N, 4) float32.
    """
    scale = size / (windows[:, 2:3] - windows[:, :1])
    return (boxes.float() - windows[:, :2].repeat(1, 2)) * scale
