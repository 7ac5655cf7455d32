"""Inter-frame attention (ObjProp, Section 2.2): box maps carried from reference frames to the current frame.

The affinity W of two frames (Eq. 1) is a softmax over the reference cells of F_current . F_reference, unscaled,
and a propagated map is W times the map (Eq. 2). That is attention: queries are the current cells, keys the
reference cells, values the maps of all objects at once, so W is never stored.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

ROW_FORMS = ('index', 'fraction')
FRAMES_PER_CALL = 4  # of a history: bounds the copies of keys and values, at no cost in speed
MAX_AFFINITIES = 2**20  # entries of the affinity that exist at a time where the spatial weight is on


def object_maps(boxes: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Binary maps of boxes at a stride: 1 from the cell of the upper left corner up to, without, that of the lower
    right one. A box within one row or column of cells has an empty map.

    Args:
        boxes: (N, 4) float, (x1, y1, x2, y2) in pixels of the network's input.
        height, width: of the map in cells.
        stride: pixels of a cell.

    Returns:
        (N, height, width) float32 of 0 and 1.
    """
    x1, y1, x2, y2 = boxes.float().div(stride).floor()[:, :, None].unbind(1)  # [N, 1] each
    rows = torch.arange(height, device=boxes.device)
    columns = torch.arange(width, device=boxes.device)
    inside_rows = (rows >= y1) & (rows < y2)
    inside_columns = (columns >= x1) & (columns < x2)
    return (inside_rows[:, :, None] & inside_columns[:, None, :]).float()


def spatial_weight(
    height: int,
    width: int,
    sigma: float,
    row: str = 'index',
    cells: slice = slice(None),
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """exp(-d / sigma^2) between cells, d their squared distance in cells; in the released code, not in the paper.

    Args:
        height, width: of the map in cells, which are counted row by row.
        sigma: in cells.
        row: a cell's row is ``'index'``: floor(k / width), or ``'fraction'``: k / width, as the released line
            gives on PyTorch from 1.7 on.
        cells: which cells of one side; all by default.
        device, dtype: of the result.

    Returns:
        (number of ``cells``, height * width) in (0, 1].
    """
    index = torch.arange(height * width, device=device)
    rows = index // width if row == 'index' else index.to(dtype) / width
    rows, columns = rows.to(dtype), (index % width).to(dtype)
    distance = (rows[cells, None] - rows).square() + (columns[cells, None] - columns).square()
    return (distance / -(sigma**2)).exp()


def propagate_maps(
    current: Tensor, reference: Tensor, maps: Tensor, *, sigma: float | None = None, row: str = 'index'
) -> tuple[Tensor, Tensor]:
    """Carry object maps, and the background maps 1 - map, from reference frames to the current one (Eq. 1 and 2).

    Computed in fp32, also under autocast: unscaled products of many channels leave no room for rounding. Memory
    grows with the number of cells, not with its square, in training too.

    Args:
        current: (B, C, H, W) float, features of the current frame; B = 1 serves all references.
        reference: (B, C, H, W) float.
        maps: (B, N, H, W) float, N maps of each reference frame.
        sigma: cells; multiply the affinity by :func:`spatial_weight` after the softmax, without renormalising.
            ``None``: no spatial weight (the paper).
        row: see :func:`spatial_weight`.

    Returns:
        the propagated object maps and background maps, (B, N, H, W) each; they sum to 1 without spatial weight.
    """
    if row not in ROW_FORMS:
        raise ValueError(f'row={row!r} is unknown; choose one of {ROW_FORMS}')
    current = current.expand(len(reference), -1, -1, -1)
    parts = zip(*(x.split(FRAMES_PER_CALL) for x in (current, reference, maps)), strict=True)
    with torch.autocast(reference.device.type, enabled=False):
        carried = torch.cat([_propagate(now, before, of, sigma, row) for now, before, of in parts])
    objects, everything = carried[:, :-1], carried[:, -1:]
    return objects, everything - objects


def _propagate(current: Tensor, reference: Tensor, maps: Tensor, sigma: float | None, row: str) -> Tensor:
    """(B, N + 1, H, W): the maps and a map of ones carried over."""
    height, width = maps.shape[-2:]
    ones = maps.new_ones((len(maps), 1, height, width))
    queries, keys = _cells(current), _cells(reference)
    values = _cells(torch.cat([maps, ones], 1)).to(keys)
    if sigma is None:
        carried = _attend(queries, keys, values)
    else:
        carried = _attend_weighted(queries, keys, values, (height, width), sigma, row)
    return carried.mT.unflatten(2, (height, width))


def _cells(maps: Tensor) -> Tensor:
    """(B, C, H, W) to (B, HW, C), in fp32 (fp64 stays)."""
    if maps.dtype != torch.float64:
        maps = maps.float()
    return maps.flatten(2).mT.contiguous()


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(Q K^T) V for (B, HW, C), (B, HW, C) and (B, HW, V)."""
    width = keys.shape[-1]
    carried = []
    # values of another width than the keys' make PyTorch fall back to the full matrix on CPUs
    for part in values.split(width, 2):
        padded = F.pad(part, (0, width - part.shape[2]))
        out = F.scaled_dot_product_attention(queries[:, None], keys[:, None], padded[:, None], scale=1.0)
        carried.append(out[:, 0, :, : part.shape[2]])
    return torch.cat(carried, 2)


def _attend_weighted(
    queries: Tensor, keys: Tensor, values: Tensor, size: tuple[int, int], sigma: float, row: str
) -> Tensor:
    """:func:`_attend` with the spatial weight, for some queries at a time."""
    step = max(1, MAX_AFFINITIES // keys.shape[:2].numel())
    carried = []
    for start in range(0, keys.shape[1], step):
        cells = slice(start, start + step)
        # recomputed in the backward pass, or the parts would together be the full matrix
        args = queries[:, cells], keys, values, size, sigma, row, cells
        carried.append(checkpoint(_weighted_part, *args, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(carried, 1)


def _weighted_part(
    queries: Tensor, keys: Tensor, values: Tensor, size: tuple[int, int], sigma: float, row: str, cells: slice
) -> Tensor:
    weights = spatial_weight(*size, sigma, row, cells, keys.device, keys.dtype)
    return ((queries @ keys.mT).softmax(2) * weights) @ values
