"""SipMask's spatial preservation: masks assembled of basis maps, with coefficients of its own for each sub-region.

A box is parted into 2 x 2 sub-regions. In each of them the mask's logits are the basis maps, weighted by the
coefficients of that sub-region; outside of the box the probability is 0. The cells in the boxes are one flat list,
so there is no loop over instances or sub-regions, and what is outside costs nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

REGIONS = 4  # top left, top right, bottom left, bottom right
EXTRA = 0.1  # the reference parts a box .05 cells past its middle


class BoxCells(NamedTuple):
    """The cells of a map that lie in boxes, as a flat list of L (box, cell) pairs, box by box, row by row.

    Attributes:
        boxes: (L,) long, row of the box. cells: (L,) long, y W + x. regions: (L,) long, 0 to 3.
    """

    boxes: Tensor
    cells: Tensor
    regions: Tensor


def cells_in_boxes(boxes: Tensor, height: int, width: int) -> BoxCells:
    """The cells (x, y) with x1 <= x < x2 and y1 <= y < y2, and the sub-region of the box that each is in.

    Args:
        boxes: (N, 4) float, x1, y1, x2, y2 in cells; they may leave the map. height, width: of the map.
    """
    boxes = boxes.detach().float()
    limit = boxes.new_tensor([width, height]).long()
    # before the cast: a box far outside has no cell, and no number that a long can't hold
    bounds = boxes.clamp(min=-1, max=float(max(height, width) + 1)).ceil().long()
    first = bounds[:, :2].clamp(min=0)  # (N, 2), x and y
    sides = (torch.minimum(bounds[:, 2:], limit) - first).clamp(min=0)
    counts = sides.prod(1)
    owners = torch.repeat_interleave(counts)  # (L,)
    places = torch.arange(len(owners), device=boxes.device) - (counts.cumsum(0) - counts)[owners]
    columns = sides[:, 0][owners]
    x = places % columns + first[:, 0][owners]
    y = places // columns + first[:, 1][owners]
    halves = (boxes[:, 2:] - boxes[:, :2] + EXTRA) / 2
    right = ((x - boxes[:, 0][owners]) / halves[:, 0][owners]).long()
    below = ((y - boxes[:, 1][owners]) / halves[:, 1][owners]).long()
    return BoxCells(owners, y * width + x, 2 * below + right)


def cell_logits(coefficients: Tensor, basis: Tensor, found: BoxCells) -> Tensor:
    """The mask logits of cells in boxes, in fp32.

    Args:
        coefficients: (N, 4 K) float, K for each of the four sub-regions.
        basis: (K, H, W) float.
        found: of :func:`cells_in_boxes`.

    Returns:
        (L,) float.
    """
    table = coefficients.float().reshape(-1, len(basis))  # (4 N, K), the regions of a box side by side
    values = basis.float().flatten(1).T.contiguous()  # (H W, K): a cell's values lie side by side
    weights = table.index_select(0, found.boxes * REGIONS + found.regions)
    return (weights * values.index_select(0, found.cells)).sum(1)


def assemble_masks(coefficients: Tensor, basis: Tensor, boxes: Tensor) -> Tensor:
    """Mask probabilities of N boxes, 0 outside of each.

    Args:
        coefficients: (N, 4 K) float. basis: (K, H, W) float. boxes: (N, 4) float, in cells of the map.

    Returns:
        (N, H, W) float32 in [0, 1].
    """
    height, width = basis.shape[1:]
    found = cells_in_boxes(boxes, height, width)
    masks = basis.new_zeros(len(boxes), height * width, dtype=torch.float32)
    probabilities = cell_logits(coefficients, basis, found).sigmoid()
    return masks.index_put((found.boxes, found.cells), probabilities).unflatten(1, (height, width))
