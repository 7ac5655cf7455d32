"""The lookups of the fast propagation on a CPU: only where a mask is, whatever the number of instances.

Most cells are in no mask or in one, so what an instance costs is its area, not the map's.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskprop.utils.compiled import compile_loops

NOTHING, ALONE, SOME = 0, 1, 2  # kinds of places


def can_skip_empty_cells(*tensors: Tensor) -> bool:
    """Whether :func:`look_up_masks` takes these: on a CPU, not while a graph of them is made, and with numba."""
    if torch.compiler.is_compiling() or any(type(t) not in (Tensor, torch.nn.Parameter) for t in tensors):
        return False
    return all(t.device.type == 'cpu' for t in tensors) and _loops() is not None


def look_up_masks(
    values: Tensor, masks: Tensor, offsets: Tensor, dilations: Sequence[int], kernel_size: int
) -> Tensor:
    """:func:`~maskprop.methods.maskprop.propagation.propagate_values` without gradients; arguments as there.

    Args:
        values: (R, K, H, W) float32. masks: (N, H, W) float32. offsets: (S, K, 2, H, W) float32, cells.
        dilations: D dilations. kernel_size: k, odd.

    Returns:
        (S, N, R, H, W) float32.
    """
    if len(masks) == 0:
        return masks.new_zeros(len(offsets), 0, len(values), *masks.shape[1:])
    loops = _loops()
    assert loops is not None  # the caller asked
    steps = np.arange(kernel_size) - kernel_size // 2
    taps = np.array([(d * y, d * x) for d in dilations for y in steps for x in steps], np.float32)
    positions = offsets.detach().contiguous().numpy()
    entries = _Entries.of(values.detach().numpy(), masks.detach().numpy())
    out = np.zeros((len(positions), len(masks), len(values), *masks.shape[1:]), np.float32)

    def run(frame: int) -> None:
        loops(positions[frame], taps, *entries, out[frame])

    threads = min(torch.get_num_threads(), len(out))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, range(len(out))))
    else:
        for frame in range(len(out)):
            run(frame)
    return torch.from_numpy(out)


class _Entries(NamedTuple):
    """The E cells where an instance's mask is not 0, in the order of the cells of a map with a border of one cell.

    Attributes:
        first: ((H + 2) (W + 2) + 1,) int32, the first entry of each cell.
        kind: (H + 1, W + 1) uint8, of the four cells around a position between cells: NOTHING where none has an
            entry, ALONE where each has one, of the same instance, else SOME.
        owner: (E,) int32, the instance.
        value: (K, E, R) float32, what each tap finds there.
    """

    first: np.ndarray
    kind: np.ndarray
    owner: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, masks: np.ndarray) -> _Entries:
        by_cell = np.pad(masks, ((0, 0), (1, 1), (1, 1))).transpose(1, 2, 0)
        row, column, owner = np.nonzero(by_cell)
        width = by_cell.shape[1]
        first = np.searchsorted(row * width + column, np.arange(by_cell.shape[0] * width + 1))
        count = (by_cell != 0).sum(2)
        alone = np.where(count == 1, (by_cell != 0).argmax(2), -1)
        counts, owners = (np.stack([m[:-1, :-1], m[:-1, 1:], m[1:, :-1], m[1:, 1:]]) for m in (count, alone))
        kind = np.where(counts.any(0), SOME, NOTHING).astype(np.uint8)
        kind[(owners == owners[0]).all(0) & (owners[0] >= 0)] = ALONE
        value = values[:, :, row - 1, column - 1] * by_cell[row, column, owner]  # [R, K, E]
        return cls(first.astype(np.int32), kind, owner.astype(np.int32), value.transpose(1, 2, 0).copy())


@functools.cache
def _loops() -> Callable | None:
    try:
        return compile_loops(_add_lookups)
    except ImportError as error:
        warnings.warn(
            f'numba cannot be imported ({error}): masks of many instances are propagated more slowly. '
            'Fix it with: pip install numba',
            stacklevel=2,
        )
        return None


def _add_lookups(
    offsets: np.ndarray,
    taps: np.ndarray,
    first: np.ndarray,
    kind: np.ndarray,
    owner: np.ndarray,
    value: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to ``out`` (N, R, H, W) what the taps (K, 2) of one target frame find at ``offsets`` (K, 2, H, W)."""
    height, width = out.shape[2:]
    one = np.float32(1)
    for tap in range(taps.shape[0]):
        for row in range(height):
            for column in range(width):
                # one more than in cells: the map's border is row 0 and column 0
                y = np.float32(row + 1) + taps[tap, 0] + offsets[tap, 0, row, column]
                x = np.float32(column + 1) + taps[tap, 1] + offsets[tap, 1, row, column]
                if not (y >= 0 and y < height + 1 and x >= 0 and x < width + 1):
                    continue
                top, left = int(y), int(x)
                found = kind[top, left]
                if found == NOTHING:
                    continue
                down, right = y - np.float32(top), x - np.float32(left)
                up_cell = top * (width + 2) + left
                down_cell = up_cell + width + 2
                if found == ALONE:
                    a, b = first[up_cell], first[down_cell]
                    for r in range(value.shape[2]):
                        above = value[tap, a, r] * (one - right) + value[tap, a + 1, r] * right
                        below = value[tap, b, r] * (one - right) + value[tap, b + 1, r] * right
                        out[owner[a], r, row, column] += above * (one - down) + below * down
                    continue
                for below in range(2):
                    share = down if below else one - down
                    cell = down_cell if below else up_cell
                    middle = first[cell + 1]
                    for entry in range(first[cell], first[cell + 2]):
                        weight = share * (right if entry >= middle else one - right)
                        for r in range(value.shape[2]):
                            out[owner[entry], r, row, column] += weight * value[tap, entry, r]
