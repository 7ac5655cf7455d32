"""The inner loops of video AP, written once: compiled by numba where it is installed, else plain Python.

The compiled code is cached beside the package, or in the user's cache folder: only the first run compiles. Without
numba only the loops over detections run as Python; masks take the block form of ``rle``.
"""

from __future__ import annotations

import functools
import warnings
from types import SimpleNamespace

import numpy as np

from maskprop.utils.compiled import compile_loops

# States of a detection for one area range and IoU threshold.
FALSE_POSITIVE, TRUE_POSITIVE, IGNORED = 0, 1, 2
_EPS = np.spacing(1)


def decode_rle(chars, bounds, present, keep, num_pixels, starts, ends, offsets, areas):
    """Decode compressed COCO RLE strings, laid end to end, into foreground intervals.

    Args:
        chars: uint8 (C,), all strings. bounds: int64 (M + 1,), where each of the M strings begins.
        present, keep: bool (M,): is there a mask; are its intervals to be stored. num_pixels: int, h * w.
        starts, ends: int32 (C,), filled with the intervals [start, end) in column-major pixel order.
        offsets: int64 (M + 1,), filled with the first interval of each mask. areas: int64 (M,), filled.

    Returns:
        int: index of the first string that is malformed or does not sum to ``num_pixels``; -1 if none.
    """
    n = 0
    for m in range(bounds.size - 1):
        offsets[m] = n
        areas[m] = 0
        if not present[m]:
            continue
        p, stop = bounds[m], bounds[m + 1]
        position, area, index = 0, 0, 0
        last, before_last = 0, 0
        while p < stop:
            run, shift, more = 0, 0, True
            while more:
                if p >= stop or shift > 40:  # truncated, or more than any 32-bit length needs
                    return m
                code = np.int64(chars[p]) - 48
                if code < 0 or code > 63:
                    return m
                run |= (code & 31) << shift
                more = (code & 32) != 0
                p += 1
                shift += 5
                if not more and code & 16:
                    run -= 1 << shift
            if index > 2:  # from the fourth on, lengths are differences to the length two before
                run += before_last
            if run < 0 or position + run > num_pixels:
                return m
            if index & 1 and run > 0:
                area += run
                if keep[m]:
                    starts[n] = position
                    ends[n] = position + run
                    n += 1
            position += run
            before_last = last
            last = run
            index += 1
        if position != num_pixels:
            return m
        areas[m] = area
    offsets[bounds.size - 1] = n
    return -1


def add_intersections(
    d_starts, d_ends, d_offsets, g_starts, g_ends, g_offsets, dets, gts, num_frames, first, last, total
):
    """Add the pixels that each detection shares with each ground truth in frames [first, last).

    Args:
        d_starts, d_ends, d_offsets: intervals of the detections as ``decode_rle`` gives them, mask (row, frame) at
            ``row * num_frames + frame``; g_*: of the ground truths. dets: int64 (D,), gts: int64 (G,), rows.
        total: int64 (1, D, G), added to, or (F, D, G) for one sum a frame.
    """
    for frame in range(first, last):
        of_frame = total[(frame - first) % total.shape[0]]
        for i in range(dets.size):
            d_first = d_offsets[dets[i] * num_frames + frame]
            d_stop = d_offsets[dets[i] * num_frames + frame + 1]
            if d_first == d_stop:
                continue
            d_begin, d_end = d_starts[d_first], d_ends[d_stop - 1]
            for j in range(gts.size):
                b = g_offsets[gts[j] * num_frames + frame]
                b_stop = g_offsets[gts[j] * num_frames + frame + 1]
                if b == b_stop or g_starts[b] >= d_end or g_ends[b_stop - 1] <= d_begin:
                    continue
                a = d_first
                if g_starts[b] > d_begin:  # begin where both are, by bisection
                    a += np.searchsorted(d_ends[a:d_stop], g_starts[b], side='right')
                else:
                    b += np.searchsorted(g_ends[b:b_stop], d_begin, side='right')
                shared = 0
                while a < d_stop and b < b_stop:  # branches: measured 3x faster here than min and max
                    low = max(d_starts[a], g_starts[b])
                    if d_ends[a] <= g_ends[b]:
                        if d_ends[a] > low:
                            shared += d_ends[a] - low
                        a += 1
                    else:
                        if g_ends[b] > low:
                            shared += g_ends[b] - low
                        b += 1
                of_frame[i, j] += shared


def match(ious, ignored, crowd, outside, thresholds, state):
    """Match the detections of one video and category (in score order) to its ground truths.

    A detection takes the free ground truth of highest IoU, of equal IoUs the later in the file; an ignored one
    only if no other reaches the threshold. A crowd stays free.

    Args:
        ious: float64 (D, G). ignored: bool (A, G), ground truths ignored in each area range. crowd: bool (G,).
        outside: bool (A, D), detections outside of each area range. thresholds: float64 (T,).
        state: uint8 (A, T, D), filled with FALSE_POSITIVE, TRUE_POSITIVE or IGNORED.
    """
    num_dets, num_gts = ious.shape
    taken = np.zeros(num_gts, dtype=np.bool_)
    for area in range(ignored.shape[0]):
        for t in range(thresholds.size):
            taken[:] = False
            for d in range(num_dets):
                best = -1
                for want_ignored in (False, True):
                    if best >= 0:
                        break
                    best_iou = thresholds[t]
                    for g in range(num_gts):
                        if ignored[area, g] != want_ignored or (taken[g] and not crowd[g]):
                            continue
                        if ious[d, g] >= best_iou:
                            best_iou = ious[d, g]
                            best = g
                if best >= 0:
                    taken[best] = True
                    state[area, t, d] = IGNORED if ignored[area, best] else TRUE_POSITIVE
                else:
                    state[area, t, d] = IGNORED if outside[area, d] else FALSE_POSITIVE


def precision_recall(state, rank, video, blocks, copies, max_dets, num_gts, recall_thresholds, precision, recall):
    """Interpolated precision and reached recall of one category.

    A video may count several times (``copies``), as in a bootstrap: its detections of equal score, a block, then
    come once per copy, as if the copies were videos of their own.

    Args:
        state: uint8 (T, D), detections in order of descending score, ties in video order.
        rank: int64 (D,), position within its own video. video: int64 (D,), its index.
        blocks: int64 (B + 1,), bounds of the runs of equal score and video. copies: int64 (V,).
        max_dets: int, detections counted per video. num_gts: int, at least 1.
        precision: float64 (T, R), recall: float64 (T,), both filled.
    """
    size = 0
    for d in range(rank.size):
        if rank[d] < max_dets:
            size += copies[video[d]]
    curve = np.empty(size)
    reached = np.empty(size)
    for t in range(state.shape[0]):
        n = 0
        true, false = 0.0, 0.0
        for block in range(blocks.size - 1):
            first, last = blocks[block], blocks[block + 1]
            for _ in range(copies[video[first]]):
                for d in range(first, last):
                    if rank[d] >= max_dets:
                        continue
                    if state[t, d] == TRUE_POSITIVE:
                        true += 1.0
                    elif state[t, d] == FALSE_POSITIVE:
                        false += 1.0
                    curve[n] = true / (false + true + _EPS)
                    reached[n] = true / num_gts
                    n += 1
        recall[t] = reached[n - 1] if n else 0.0
        for i in range(n - 1, 0, -1):
            curve[i - 1] = max(curve[i - 1], curve[i])
        i = 0
        for r in range(recall_thresholds.size):
            while i < n and reached[i] < recall_thresholds[r]:
                i += 1
            precision[t, r] = curve[i] if i < n else 0.0


@functools.cache
def get_kernels(use_numba: bool) -> SimpleNamespace:
    """The functions of this module that both backends run, and with numba those on masks too."""
    if not use_numba:
        return SimpleNamespace(match=match, precision_recall=precision_recall)
    functions = (decode_rle, add_intersections, match, precision_recall)
    return SimpleNamespace(**{function.__name__: compile_loops(function) for function in functions})


@functools.cache
def _numba_works() -> bool:
    try:
        import numba  # noqa: F401
    except ImportError as error:
        warnings.warn(
            f'numba cannot be imported ({error}): video AP takes its slower NumPy form. '
            'Fix it with: pip install numba',
            stacklevel=2,
        )
        return False
    return True


def uses_numba(backend: str) -> bool:
    """Resolve a backend name: 'auto' (numba if it can be imported), 'numba' or 'numpy'."""
    if backend not in ('auto', 'numba', 'numpy'):
        raise ValueError(f"backend must be 'auto', 'numba' or 'numpy', found {backend!r}")
    return backend == 'numba' or (backend == 'auto' and _numba_works())
