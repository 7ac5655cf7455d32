"""SipMask's mask assembly cell by cell, in Python numbers of one float32 each."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

single = np.float32


def region_of(x: int, y: int, box: list[float]) -> int | None:
    """0 to 3, or None outside of the box."""
    x1, y1, x2, y2 = map(single, box)
    if not (x1 <= x < x2 and y1 <= y < y2):
        return None
    column = int((single(x) - x1) / ((x2 - x1 + single(0.1)) / single(2)))
    row = int((single(y) - y1) / ((y2 - y1 + single(0.1)) / single(2)))
    return 2 * row + column


def literal_masks(coefficients: Tensor, basis: Tensor, boxes: Tensor) -> Tensor:
    """(N, H, W) probabilities, with a gradient."""
    count, height, width = len(basis), *basis.shape[1:]
    masks = []
    for own, box in zip(coefficients, boxes.tolist(), strict=True):
        for y in range(height):
            for x in range(width):
                region = region_of(x, y, box)
                if region is None:
                    masks.append(basis.new_zeros(()))
                else:
                    masks.append((own[region * count : (region + 1) * count] * basis[:, y, x]).sum().sigmoid())
    return torch.stack(masks).view(len(boxes), height, width) if masks else basis.new_zeros(0, height, width)


def literal_mask_loss(
    coefficients: Tensor, basis: Tensor, boxes: Tensor, masks: Tensor, objects: list[int], weights: list[float]
) -> Tensor:
    """The mask loss of an image's points; boxes in cells."""
    found = literal_masks(coefficients, basis, boxes)
    total = basis.new_zeros(())
    for row, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        entropy = basis.new_zeros(())
        for y in range(basis.shape[1]):
            for x in range(basis.shape[2]):
                if region_of(x, y, [x1, y1, x2, y2]) is not None:
                    p = found[row, y, x]
                    entropy = entropy - (torch.log(p) if masks[objects[row], y, x] else torch.log(1 - p))
        total = total + weights[row] * entropy / (x2 - x1) / (y2 - y1)
    return total / len(boxes)


def random_boxes(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Boxes in cells: some leave the map, some have whole numbers or are thinner than a cell, one is inverted."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([width, height])
    centres = torch.rand(count, 2, generator=generator) * size
    sides = torch.rand(count, 2, generator=generator) * size * 0.8
    boxes = torch.cat([centres - sides / 2, centres + sides / 2], 1)
    boxes[0] = boxes[0].round()
    boxes[1, 2] = boxes[1, 0] + 0.4
    boxes[2, :] = torch.tensor([-5.0, -3.0, width + 4.0, height / 2])
    boxes[3] = boxes[3, [2, 3, 0, 1]]
    boxes[4] = torch.tensor([width + 1.0, 0, width + 9, height])
    assert count > 5 and math.isfinite(float(boxes.sum()))
    return boxes
