"""The inner loops of temporal stability, compiled: what ``column_runs`` does in NumPy, equal to the last bit."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from maskprop.utils.compiled import compile_loops

#: As in ``column_runs``: pixels, far above rounding, so that this does not decide where a half goes.
_HALF_GOES_UP = 1e-9


def add_moments(starts, ends, offsets, first, height, sums):
    """Sum the coordinates of the pixels of one track in every frame.

    Args:
        starts, ends, offsets: intervals as ``kernels.decode_rle`` gives them. first: int, the track's first mask.
        height: int, h. sums: float64 (T, 2), filled with the sums of x and of y, whole or half numbers.
    """
    for frame in range(sums.shape[0]):
        of_x, of_y = 0, 0
        for i in range(offsets[first + frame], offsets[first + frame + 1]):
            for column in range(starts[i] // height, (ends[i] - 1) // height + 1):
                top = max(starts[i] - column * height, 0)
                bottom = min(ends[i] - column * height, height)
                of_x += column * (bottom - top)
                of_y += (top + bottom - 1) * (bottom - top)
        sums[frame, 0] = of_x
        sums[frame, 1] = of_y / 2


def moved_ious(starts, ends, offsets, masks, origin, target, scale, height, width, ious):
    """IoU of each mask, moved as ``ColumnRuns.moved`` says, with the mask of the next frame.

    Args:
        starts, ends, offsets: intervals as ``kernels.decode_rle`` gives them. masks: int64 (P,), which of the
            masks; they and the next ones must have pixels. origin, target: float64 (P, 2), (x, y).
        scale: float64 (P,). height, width: int. ious: float64 (P,), filled.
    """
    for p in range(masks.size):
        a, a_stop = offsets[masks[p]], offsets[masks[p] + 1]
        b, b_stop = a_stop, offsets[masks[p] + 2]
        whole = 0
        for i in range(b, b_stop):
            whole += ends[i] - starts[i]
        leftmost, rightmost = starts[a] // height, (ends[a_stop - 1] - 1) // height
        left = target[p, 0] + scale[p] * (leftmost - 0.5 - _HALF_GOES_UP - origin[p, 0])
        right = target[p, 0] + scale[p] * (rightmost + 1 - 0.5 - _HALF_GOES_UP - origin[p, 0])
        moved, shared = 0, 0
        for column in range(int(min(max(np.ceil(left), 0), width)), int(min(max(np.ceil(right), 0), width))):
            x = np.floor(origin[p, 0] + (column - target[p, 0]) / scale[p] + 0.5 + _HALF_GOES_UP)
            base = int(min(max(x, leftmost), rightmost)) * height  # of the column that comes here
            while a < a_stop and ends[a] <= base:
                a += 1
            i = a
            while i < a_stop and starts[i] < base + height:
                top = target[p, 1] + scale[p] * (max(starts[i] - base, 0) - 0.5 - _HALF_GOES_UP - origin[p, 1])
                bottom = target[p, 1] + scale[p] * (
                    min(ends[i] - base, height) - 0.5 - _HALF_GOES_UP - origin[p, 1]
                )
                begin = column * height + int(min(max(np.ceil(top), 0), height))
                end = column * height + int(min(max(np.ceil(bottom), 0), height))
                i += 1
                if end <= begin:
                    continue
                moved += end - begin
                while b < b_stop and ends[b] <= begin:
                    b += 1
                j = b
                while j < b_stop and starts[j] < end:
                    shared += min(ends[j], end) - max(starts[j], begin)
                    j += 1
        union = moved + whole - shared
        ious[p] = shared / union if union > 0 else 0.0


@functools.cache
def get_motion_kernels() -> SimpleNamespace:
    """The functions of this module, compiled."""
    return SimpleNamespace(add_moments=compile_loops(add_moments), moved_ious=compile_loops(moved_ious))
