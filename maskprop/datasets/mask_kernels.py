"""The loops over the digits, runs and points of many masks, compiled by numba: of no use uncompiled."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from maskprop.utils.compiled import compile_loops

LONGEST_NUMBER = 7  # characters; 7 x 5 bits hold every run of a picture that pycocotools can hold
SUBPIXELS = 5  # pycocotools rounds the points of a polygon to fifths of a pixel
SPACES = (9, 10, 13, 32)  # of JSON
SURE_ROWS = 2  # between two crossings of a column; rounding takes less than half a row of it


def measure_strings(chars, bounds, total, area, readable):
    """As :func:`maskprop.datasets.rle.measure_strings`, into given arrays.

    Args:
        chars: uint8 (C,), all strings. bounds: int64 (N + 1,), where each begins.
        total, area: int64 (N,). readable: bool (N,).
    """
    for n in range(bounds.size - 1):
        p, stop = bounds[n], bounds[n + 1]
        total[n], area[n], readable[n] = 0, 0, p < stop
        index, last, before_last = 0, 0, 0
        while p < stop and readable[n]:
            code = np.int64(chars[p]) - 48
            if 0 <= code < 32:  # most numbers have one digit
                run, p = code - 32 if code & 16 else code, p + 1
            else:
                run, digits, more = 0, 0, True
                while more:
                    code = np.int64(chars[p]) - 48 if p < stop and digits < LONGEST_NUMBER else -1
                    if code < 0 or code > 63:
                        readable[n] = False
                        break
                    run |= (code & 31) << (5 * digits)
                    more = (code & 32) != 0
                    p, digits = p + 1, digits + 1
                    if not more and code & 16:
                        run -= 1 << (5 * digits)
            if index > 2:  # from the fourth on, a difference to the run two before
                run += before_last
            if run < 0:
                readable[n] = False
            total[n] += run
            if index & 1:
                area[n] += run
            index, before_last, last = index + 1, last, run


def encode_runs(runs, bounds, total, area, chars, ends):
    """Runs as compressed RLE strings, with their sums.

    Args:
        runs: int32 (R,), 0 or more, those of all masks. bounds: int64 (N + 1,), where each mask begins.
        total, area: int64 (N,), filled: sum of all runs, of every second one.
        chars: uint8 (LONGEST_NUMBER * R,), filled with the strings. ends: int64 (N,), filled: where each ends.
    """
    p = 0
    for n in range(bounds.size - 1):
        total[n], area[n] = 0, 0
        for i in range(bounds[n], bounds[n + 1]):
            place = i - bounds[n]
            total[n] += runs[i]
            if place & 1:
                area[n] += runs[i]
            number = np.int64(runs[i])
            if place > 2:
                number -= runs[i - 2]
            more = True
            while more:
                code = number & 31
                number >>= 5
                more = number != -1 if code & 16 else number != 0
                chars[p] = code + (80 if more else 48)
                p += 1
        ends[n] = p


def surely_visible(points, bounds, height, width, visible):
    """Which polygons have a pixel for certain, by the crossings of their middle column; no answer for the others.

    Args:
        points: float64 (P, 2), x and y, those of all polygons. bounds: int64 (N + 1,), where each begins.
        height, width: of the picture. visible: bool (N,), filled.
    """
    crossings = np.zeros(points.shape[0])
    for n in range(bounds.size - 1):
        first, stop = bounds[n], bounds[n + 1]
        left, right = points[first, 0], points[first, 0]
        for i in range(first, stop):
            left, right = min(left, points[i, 0]), max(right, points[i, 0])
        middle = (max(left, 0.0) + min(right, width - 1.0)) // 2
        visible[n] = False
        if middle < 0 or middle > width - 1:
            continue
        line = SUBPIXELS * middle + SUBPIXELS / 2
        count = 0
        for i in range(first, stop):
            j = i + 1 if i + 1 < stop else first
            x, y = SUBPIXELS * points[i, 0] + 0.5, SUBPIXELS * points[i, 1] + 0.5
            to_x, to_y = SUBPIXELS * points[j, 0] + 0.5, SUBPIXELS * points[j, 1] + 0.5
            x, y, to_x, to_y = float(int(x)), float(int(y)), float(int(to_x)), float(int(to_y))
            if (x < line) != (to_x < line):
                row = min(max((y + (line - x) * (to_y - y) / (to_x - x)) / SUBPIXELS, 0.0), height)
                k = count
                while k > 0 and crossings[k - 1] > row:  # sorts them
                    crossings[k] = crossings[k - 1]
                    k -= 1
                crossings[k] = row
                count += 1
        for k in range(0, count - 1, 2):
            if crossings[k + 1] - crossings[k] >= SURE_ROWS:
                visible[n] = True


def compress_lists(text, starts, out):
    """Copy JSON, with lists of whole numbers of 0 to 2^31 - 1 as strings of compressed RLE.

    Args:
        text: uint8 (C,). starts: int64 (N,), ascending: where the colon before each list follows, perhaps.
        out: uint8, filled.

    Returns:
        int: length of the copy; -1 if ``out`` is too small.
    """
    size, limit, done, o = text.size, out.size - 32, 0, 0
    for start in starts:
        if o + start - done > limit:
            return -1
        out[o : o + start - done] = text[done:start]
        o += start - done
        done = start
        p = start
        for wanted in (58, 91):  # ':' and '['
            while p < size and text[p] in SPACES:
                p += 1
            if p < size and text[p] == wanted:
                p += 1
            else:
                p = size
        begin = o
        out[o], out[o + 1] = 58, 34
        o += 2
        place, last, before_last, closed = 0, 0, 0, False
        while p < size and not closed:
            while p < size and text[p] in SPACES:
                p += 1
            first, run = p, 0
            while p < size and 48 <= text[p] <= 57 and p - first < 11:
                run = 10 * run + text[p] - 48
                p += 1
            if p == first or run > 2147483647 or (text[first] == 48 and p > first + 1) or o > limit:
                break
            number = run - before_last if place > 2 else run
            more = True
            while more:
                code = number & 31
                number >>= 5
                more = number != -1 if code & 16 else number != 0
                code += 80 if more else 48
                if code == 92:  # JSON's backslash
                    out[o] = 92
                    o += 1
                out[o] = code
                o += 1
            place, before_last, last = place + 1, last, run
            while p < size and text[p] in SPACES:
                p += 1
            closed = p < size and text[p] == 93
            if p < size and (closed or text[p] == 44):
                p += 1
            else:
                break
        if closed:
            out[o] = 34
            o, done = o + 1, p
        else:  # something else: it stays
            o = begin
    if o + size - done > limit:
        return -1
    out[o : o + size - done] = text[done:]
    return o + size - done


@functools.cache
def compiled() -> SimpleNamespace | None:
    """The functions above, compiled; None where numba cannot be imported."""
    try:
        functions = [compile_loops(f) for f in (measure_strings, encode_runs, surely_visible, compress_lists)]
    except ImportError:
        return None
    return SimpleNamespace(**{function.__name__: function for function in functions})
