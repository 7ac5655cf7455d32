"""Windows of whole pixels around boxes, and what is in them at another size (PReMVOS).

With ``letter`` everything is as in the released code, with TensorFlow 1's resizing: the value at pixel i of the
result is that at i x in / out, without the shift of half a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_SIDE = 10  # pixels; smaller crops are black in the released ReID net's test


def margin_windows(boxes: Tensor, size: Sequence[int], margin: int) -> Tensor:
    """Boxes, rounded, with a margin on each side, inside the image.

    Args:
        boxes: (N, 4) float, (x1, y1, x2, y2) in pixels. size: (height, width) of the image. margin: in pixels.

    Returns:
        (N, 4) long, (x1, y1, x2, y2), ends exclusive, of one pixel at least.
    """
    wide = boxes.round().long() + torch.tensor([-margin, -margin, margin, margin], device=boxes.device)
    return _inside(wide, size)


def context_windows(boxes: Tensor, size: Sequence[int], context: float, letter: str | None = None) -> Tensor:
    """Boxes enlarged about their middles, rounded, inside the image.

    Args:
        boxes, size: as of :func:`margin_windows`. context: width and height in units of the box's.
        letter: None: what of the window is in the image. ``'train'``, ``'test'``: the released code rounds corner
            and size, and a window that begins left of the image or above it is shifted, not cut; at test it is
            also at least one pixel less wide and high.

    Returns:
        (N, 4) long, as :func:`margin_windows`.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    start = boxes[:, :2] - (context - 1) / 2 * sides
    if letter is None:
        return _inside(torch.cat([start, start + context * sides], 1).round().long(), size)
    start = start.round().long().clamp(min=0)
    sides = (context * sides).round().long()
    excess = start + sides - torch.tensor([size[1], size[0]], device=boxes.device)
    return torch.cat([start, start + sides - excess.clamp(min=int(letter == 'test'))], 1)


def _inside(windows: Tensor, size: Sequence[int]) -> Tensor:
    """The part of (N, 4) windows that is in the image; of those outside, the nearest pixel."""
    ends = torch.tensor([size[1], size[0]], device=windows.device)
    start = windows[:, :2].clamp(min=0).minimum(ends - 1)
    return torch.cat([start, windows[:, 2:].minimum(ends).maximum(start + 1)], 1)


def crop(image: Tensor, windows: Tensor, size: Sequence[int], letter: bool = False) -> Tensor:
    """What is in the windows of an image, stretched to one size: bilinear, area-averaged where it shrinks.

    Args:
        image: (C, H, W) float. windows: (N, 4) long. size: (height, width) of the crops.
        letter: as the released code, without averaging.

    Returns:
        (N, C, height, width) float.
    """
    found = [resize(image[:, y1:y2, x1:x2], size, letter) for x1, y1, x2, y2 in windows.tolist()]
    return torch.stack(found) if found else image.new_zeros((0, len(image), *size))


def filled_boxes(boxes: Tensor, windows: Tensor, size: Sequence[int]) -> Tensor:
    """(N, height, width) float of 0 and 1: each box, rounded, in its window, by the nearest pixel."""
    masks = [torch.zeros((0, *size), device=boxes.device)]
    for box, window in zip(boxes.round().long().tolist(), windows.tolist(), strict=True):
        inside = []
        for axis, count in ((1, size[0]), (0, size[1])):
            start, end = window[axis], window[axis + 2]
            places = _nearest(end - start, count, boxes.device) + start
            inside.append((places >= box[axis]) & (places < box[axis + 2]))
        masks.append((inside[0][:, None] & inside[1]).float()[None])
    return torch.cat(masks)


def resize(maps: Tensor, size: Sequence[int], letter: bool = False) -> Tensor:
    """(C, H, W) float maps at another size, bilinearly; see :func:`crop`."""
    if not letter:
        return F.interpolate(maps[None], tuple(size), mode='bilinear', antialias=True)[0]
    for axis, count in ((1, size[0]), (2, size[1])):
        given = maps.shape[axis]
        places = torch.arange(count, device=maps.device) * torch.tensor(given / count, device=maps.device)
        low = places.floor().long().clamp(max=given - 1)
        share = (places - low).view(-1, *[1] * (2 - axis))
        high = (low + 1).clamp(max=given - 1)
        maps = maps.index_select(axis, low) * (1 - share) + maps.index_select(axis, high) * share
    return maps


def paste_letter(masks: Tensor, windows: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Masks put back as the released code does.

    Args:
        masks: (N, h, w) float in [0, 1]. windows: (N, 4) long. size: (height, width) of the image.

    Returns:
        (N, height, width) float, bilinear, and bool: above a half, by the nearest pixel; 0 outside the windows.
    """
    soft, binary = masks.new_zeros(len(masks), *size), masks.new_zeros((len(masks), *size), dtype=torch.bool)
    for n, (x1, y1, x2, y2) in enumerate(windows.tolist()):
        soft[n, y1:y2, x1:x2] = resize(masks[n][None], (y2 - y1, x2 - x1), letter=True)[0]
        down, right = (
            _nearest(s, c, masks.device) for s, c in zip(masks.shape[1:], (y2 - y1, x2 - x1), strict=True)
        )
        binary[n, y1:y2, x1:x2] = masks[n][down[:, None], right] > 0.5
    return soft, binary


def _nearest(given: int, wanted: int, device: torch.device) -> Tensor:
    """(wanted,) long: the pixels of ``given`` ones that are taken."""
    return (torch.arange(wanted, device=device) * torch.tensor(given / wanted)).floor().long().clamp(max=given - 1)
