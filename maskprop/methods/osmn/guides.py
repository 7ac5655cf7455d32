"""OSMN's two guides of an object (Section 3.3, 3.4): its picture in one frame, its place in the previous one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MAD_TO_STD = 1.4826  # median absolute deviation to standard deviation
MIN_STD = 5.0  # pixels
PAD = 0.03  # of the crop's sides, with black


class Blob(NamedTuple):
    """The Gaussian of a mask, (x, y) in pixels.

    Attributes:
        centre, std: (2,) float64.
    """

    centre: Tensor
    std: Tensor


def fit_blob(mask: Tensor) -> Blob | None:
    """Medians and 1.4826 median absolute deviations of the coordinates of an (H, W) mask; None of an empty one."""
    places = mask.nonzero().flip(1).double()  # (x, y)
    if not len(places):
        return None
    centre = _median(places)
    return Blob(centre, (MAD_TO_STD * _median((places - centre).abs())).clamp(min=MIN_STD))


def _median(values: Tensor) -> Tensor:
    """Of each column; of an even number of values the mean of the two in the middle, as numpy has it."""
    ordered, count = values.sort(0).values, len(values)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


def perturb_blob(blob: Blob, shift: Tensor, scale: Tensor) -> Blob:
    """A blob moved by ``shift`` standard deviations and ``scale`` times as wide, both (2,) for x and y."""
    return Blob(blob.centre + shift.to(blob.std) * blob.std, blob.std * scale.to(blob.std))


def draw_perturbation(blob: Blob, shift: float = 0.2, scale: float = 1.4) -> Blob:
    """As in training: moved by up to ``shift``, between 1 / ``scale`` and ``scale`` times as wide."""
    by = torch.empty(2, dtype=torch.float64).uniform_(-shift, shift)
    times = torch.empty(2, dtype=torch.float64).uniform_(1 / scale, scale)
    return perturb_blob(blob, by, times)


def spatial_guide(blob: Blob | None, size: Sequence[int], device: torch.device | str = 'cpu') -> Tensor:
    """(H, W) float64 in [0, 1]: the blob, 0 everywhere without one."""
    height, width = size
    if blob is None:
        return torch.zeros(height, width, dtype=torch.float64, device=device)
    across, down = (
        torch.exp(-0.5 * ((torch.arange(n, dtype=torch.float64, device=device) - c) / s) ** 2)
        for n, c, s in zip((width, height), blob.centre.tolist(), blob.std.tolist(), strict=True)
    )
    return down[:, None] * across


def mask_box(mask: Tensor) -> list[int]:
    """[xmin, ymin, xmax, ymax] of an (H, W) mask that is not empty; the maxima are inclusive."""
    places = mask.nonzero()
    (ymin, xmin), (ymax, xmax) = places.amin(0).tolist(), places.amax(0).tolist()
    return [xmin, ymin, xmax, ymax]


def crop_guide(
    image: Tensor, mask: Tensor, size: int, box: Sequence[int] | None = None, pad: float = PAD
) -> tuple[Tensor, Tensor]:
    """An object's picture and mask, cut out and resized without keeping the aspect.

    The box's maxima are taken as exclusive, so that its last row and column are lost, as in the released code.

    Args:
        image: (3, H, W) uint8. mask: (H, W) bool. size: of the guide's sides in pixels.
        box: [xmin, ymin, xmax, ymax]; None: that of the mask.
        pad: share of the box's sides that is added on each side, black.

    Returns:
        (3, size, size) uint8; (size, size) bool.
    """
    xmin, ymin, xmax, ymax = mask_box(mask) if box is None else box
    xmax, ymax = max(xmax, xmin + 1), max(ymax, ymin + 1)
    across, down = int(pad * (xmax - xmin)), int(pad * (ymax - ymin))
    padding = (across, across, down, down)
    picture = F.pad(image[:, ymin:ymax, xmin:xmax], padding)
    bitmap = F.pad(mask[ymin:ymax, xmin:xmax], padding)
    # of uint8, as PIL does it, antialiasing included
    resized = F.interpolate(picture[None].cpu(), (size, size), mode='bilinear', antialias=True)[0]
    down, across = (_nearest(pixels, size).to(mask.device) for pixels in bitmap.shape)
    return resized.to(image.device), bitmap[down[:, None], across]


def _nearest(pixels: int, size: int) -> Tensor:
    """The pixel that each of ``size`` shows; added up step by step as by PIL, which decides where it is a tie."""
    steps = np.full(size, pixels / size)
    steps[0] /= 2
    return torch.from_numpy(np.add.accumulate(steps).astype(np.int64)).clamp(max=pixels - 1)


def jitter_box(mask: Tensor, jitter: float) -> list[int]:
    """The box of a mask, each side moved by up to ``jitter`` of the box's size, inside the picture."""
    xmin, ymin, xmax, ymax = mask_box(mask)
    sides = torch.tensor([xmax - xmin, ymax - ymin] * 2)
    moved = torch.tensor([xmin, ymin, xmax, ymax]) + sides * torch.empty(4).uniform_(-jitter, jitter)
    height, width = mask.shape
    xmin, ymin, xmax, ymax = moved.round().long().tolist()
    xmin, ymin = max(min(xmin, width - 2), 0), max(min(ymin, height - 2), 0)
    return [xmin, ymin, min(max(xmax, xmin + 1), width), min(max(ymax, ymin + 1), height)]


def turn_guide(picture: Tensor, mask: Tensor, degrees: float, flip: bool) -> tuple[Tensor, Tensor]:
    """A (3, s, s) guide and its (s, s) mask turned about their middle, by nearest pixels, and flipped."""
    angle = torch.deg2rad(torch.tensor(float(degrees)))
    cos, sin = angle.cos().item(), angle.sin().item()
    theta = torch.tensor([[cos, -sin, 0], [sin, cos, 0]], device=picture.device)
    both = torch.cat([picture.float(), mask[None].float()])[None]
    grid = F.affine_grid(theta[None], list(both.shape), align_corners=False)
    turned = F.grid_sample(both, grid, mode='nearest', align_corners=False)[0]
    turned = turned.flip(-1) if flip else turned
    return turned[:3].to(picture.dtype), turned[3] > 0.5
