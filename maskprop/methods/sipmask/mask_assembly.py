"""SipMask's spatial preservation: masks assembled of basis maps, with coefficients of its own for each sub-region.

A box is parted into 2 x 2 sub-regions. In each of them the mask's logits are the basis maps, weighted by the
coefficients of that sub-region; outside of the box the probability is 0. Sub-regions are the rows, and the map's
cells the columns, of one sparse matrix: the product of coefficients and basis maps, sampled where a cell lies in a
sub-region. So there is no loop over instances or sub-regions, and what is outside costs nothing.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

REGIONS = 4  # top left, top right, bottom left, bottom right
EXTRA = 0.1  # the reference parts a box .05 cells past its middle

for message in ('Sparse CSR tensor support is in beta', 'Sparse invariant checks are implicitly disabled'):
    warnings.filterwarnings('ignore', message)


class BoxCells(NamedTuple):
    """The cells of a map that lie in N boxes: L (sub-region, cell) pairs, sub-region by sub-region, row by row.

    Attributes:
        counts: (4 N,) long, cells in each sub-region, those of a box side by side.
        cells: (L,) long, y W + x.
    """

    counts: Tensor
    cells: Tensor

    @property
    def regions(self) -> Tensor:
        """(L,) long: the sub-region of each pair, 4 n + region."""
        return torch.repeat_interleave(self.counts, output_size=len(self.cells))

    @property
    def boxes(self) -> Tensor:
        """(L,) long: the box of each pair."""
        return torch.repeat_interleave(self.counts.view(-1, REGIONS).sum(1), output_size=len(self.cells))


def cells_in_boxes(boxes: Tensor, height: int, width: int) -> BoxCells:
    """The cells (x, y) with x1 <= x < x2 and y1 <= y < y2, by the sub-region of the box that each is in.

    Args:
        boxes: (N, 4) float, x1, y1, x2, y2 in cells; they may leave the map. height, width: of the map.
    """
    boxes = boxes.detach().float()
    left, columns = _halves(boxes[:, 0], boxes[:, 2], width)
    top, rows = _halves(boxes[:, 1], boxes[:, 3], height)
    # (N, 2) of an axis to the (4 N,) sub-regions
    left, columns = (sides[:, None, :].expand(-1, 2, -1).flatten() for sides in (left, columns))
    top, rows = (sides[:, :, None].expand(-1, -1, 2).flatten() for sides in (top, rows))
    rows = rows.where(columns > 0, 0)
    # each row of each sub-region is a run of neighbouring cells
    y = _count_up(top, rows)
    starts = y * width + torch.repeat_interleave(left, rows, output_size=len(y))
    lengths = torch.repeat_interleave(columns, rows, output_size=len(y))
    return BoxCells(rows * columns, _count_up(starts, lengths))


def _halves(low: Tensor, high: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First cells and numbers of cells, each (N, 2) long, of both halves of N intervals on an axis."""
    places = torch.arange(size, device=low.device, dtype=low.dtype)
    low, high = low[:, None], high[:, None]
    inside = (places >= low) & (places < high)
    second = inside & ((places - low) / ((high - low + EXTRA) / 2) >= 1)
    counts = torch.stack([inside.sum(1) - second.sum(1), second.sum(1)], 1)
    first = inside.byte().argmax(1)
    return torch.stack([first, first + counts[:, 0]], 1), counts


def _count_up(starts: Tensor, counts: Tensor) -> Tensor:
    """Runs of numbers in one list: ``counts`` of them from each of ``starts``."""
    result = torch.repeat_interleave(starts - counts.cumsum(0) + counts, counts)
    return result + torch.arange(len(result), device=result.device)


def cell_logits(coefficients: Tensor, basis: Tensor, found: BoxCells) -> Tensor:
    """The mask logits of cells in boxes, in fp32.

    Args:
        coefficients: (N, 4 K) float, K for each of the four sub-regions.
        basis: (K, H, W) float.
        found: of :func:`cells_in_boxes`.

    Returns:
        (L,) float.
    """
    table = coefficients.float().reshape(-1, len(basis))  # (4 N, K)
    values = basis.float().flatten(1)
    if len(found.cells) == 0:
        return values.new_zeros(0) * (table.sum() + values.sum())  # both have a gradient all the same
    where = torch.sparse_csr_tensor(
        torch.cat([found.counts.new_zeros(1), found.counts.cumsum(0)]),
        found.cells,
        values.new_zeros(len(found.cells)),
        size=(len(table), values.shape[1]),
        check_invariants=False,
    )
    return torch.sparse.sampled_addmm(where, table, values, beta=0.0).values()


def assemble_masks(coefficients: Tensor, basis: Tensor, boxes: Tensor) -> Tensor:
    """Mask probabilities of N boxes, 0 outside of each.

    Args:
        coefficients: (N, 4 K) float. basis: (K, H, W) float. boxes: (N, 4) float, in cells of the map.

    Returns:
        (N, H, W) float32 in [0, 1].
    """
    size = basis.shape[1:].numel()
    found = cells_in_boxes(boxes, *basis.shape[1:])
    masks = basis.new_zeros(len(boxes) * size, dtype=torch.float32)
    masks[found.boxes * size + found.cells] = cell_logits(coefficients, basis, found).sigmoid()
    return masks.view(len(boxes), *basis.shape[1:])
