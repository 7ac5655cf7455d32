"""Masks as the annotation files hold them: checking, measuring and decoding RLE and polygons.

Everything is checked before pycocotools sees it, because pycocotools trusts its input: run lengths that do not
sum to the size of the picture make it loop for ever or read foreign memory.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskprop.datasets.mask_kernels import LONGEST_NUMBER
from maskprop.utils.json_values import is_finite_number

# farthest coordinate of a polygon, in longer sides of the picture: pycocotools walks every pixel of an outline, so
# a stray coordinate takes all memory
POLYGON_REACH = 10


@dataclass(frozen=True)
class MaskFault:
    """What is wrong with one mask: the rule it breaks, what was found, and how to fix it."""

    frame: int
    rule: str
    found: str
    fix: str


def is_absent(value: Any) -> bool:
    """Whether an entry of a per-frame list says "not in this frame": null or an empty list."""
    return value is None or (isinstance(value, list | tuple) and not value)


def inspect_masks(segmentations: Sequence[Any], height: int, width: int) -> tuple[list[MaskFault], np.ndarray]:
    """Checks the masks of one object.

    Args:
        segmentations: One entry a frame: None, polygons ([[x1, y1, x2, y2, ...], ...]), or RLE
            ({'size': [h, w], 'counts': list of runs or compressed string}).
        height: Height of the video in pixels.
        width: Width of the video in pixels.

    Returns:
        The faults in order of frames, and the masks' areas in pixels ((len,) float64; nan for polygons, which
        have no cheap exact area, for faulty masks and where there is none).
    """
    faults: list[MaskFault] = []
    areas = np.full(len(segmentations), np.nan)
    strings: list[tuple[int, bytes]] = []
    for frame, mask in enumerate(segmentations):
        if is_absent(mask):
            continue
        fault, counts = _inspect_one(frame, mask, height, width)
        if fault is not None:
            faults.append(fault)
        elif isinstance(counts, bytes):
            strings.append((frame, counts))
        elif counts is not None:
            areas[frame] = counts[1::2].sum()
    for (frame, _), total, area, readable in zip(strings, *measure_strings([s for _, s in strings]), strict=True):
        if not readable:
            faults.append(_counts_fault(frame, 'a string that is not compressed RLE'))
        elif total != height * width:
            faults.append(_counts_fault(frame, _wrong_total(total, height, width)))
        else:
            areas[frame] = area
    return sorted(faults, key=lambda fault: fault.frame), areas


def measure_strings(strings: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run lengths of compressed RLE strings, summed, for all strings at once.

    COCO's format: numbers in base 32, least significant digit first, one character (48 + digit, + 32 if more
    follow) a digit, the last digit's bit 16 being the sign; from the fourth on, a number is the difference to
    the run two places before.

    Returns:
        total: (n,) int64, sum of all runs (the number of pixels).
        area: (n,) int64, sum of every second run (the number of mask pixels).
        readable: (n,) bool, False where the string is malformed or has a negative run; the sums mean nothing
            then.
    """
    lengths = np.array([len(s) for s in strings], dtype=np.int64)
    readable = lengths > 0
    total, area = np.zeros(len(strings), dtype=np.int64), np.zeros(len(strings), dtype=np.int64)
    digits = np.frombuffer(b''.join(strings), dtype=np.uint8).astype(np.int64) - 48
    if not len(digits):
        return total, area, readable

    string_of_digit = np.repeat(np.arange(len(strings)), lengths)
    readable[string_of_digit[(digits < 0) | (digits > 63)]] = False
    more = (digits & 32) != 0
    last_digits = np.cumsum(lengths)[lengths > 0] - 1
    readable[string_of_digit[last_digits[more[last_digits]]]] = False  # the string breaks off inside a number
    more[last_digits] = False

    ends = np.flatnonzero(~more)
    starts = np.concatenate([[0], ends[:-1] + 1])
    size = ends - starts + 1
    string_of_number = string_of_digit[starts]
    readable[string_of_number[size > LONGEST_NUMBER]] = False
    place = np.minimum(np.arange(len(digits)) - np.repeat(starts, size), LONGEST_NUMBER)
    numbers = np.add.reduceat((digits & 31) << (5 * place), starts)
    numbers -= np.where(digits[ends] & 16, np.int64(1) << (5 * np.minimum(size, LONGEST_NUMBER)), 0)

    runs, is_mask = _undo_differences(numbers, string_of_number, len(strings))
    readable[string_of_number[runs < 0]] = False
    np.add.at(total, string_of_number, runs)
    np.add.at(area, string_of_number[is_mask], runs[is_mask])
    return total, area, readable


def decode_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """The mask of one frame.

    Args:
        segmentation: None (gives an empty mask), polygons, uncompressed or compressed RLE.
        height: Height in pixels.
        width: Width in pixels.

    Returns:
        (height, width) uint8 of 0 and 1.

    Raises:
        ValueError: The segmentation is malformed; says how.
    """
    faults, _ = inspect_masks([segmentation], height, width)
    if faults:
        raise ValueError(f'segmentation: {faults[0].found}; {faults[0].fix}')
    if is_absent(segmentation):
        return np.zeros((height, width), dtype=np.uint8)
    return coco_mask.decode(compress(segmentation, height, width))


def compress(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """A checked segmentation (see :func:`inspect_masks`) as compressed RLE, {'size': [h, w], 'counts': str}."""
    if isinstance(segmentation, list | tuple):
        rle = coco_mask.merge(coco_mask.frPyObjects(list(segmentation), height, width))
    elif isinstance(segmentation['counts'], list | tuple):
        rle = coco_mask.frPyObjects(dict(size=[height, width], counts=list(segmentation['counts'])), height, width)
    else:
        rle = segmentation
    counts = rle['counts']
    return dict(size=[height, width], counts=counts.decode('ascii') if isinstance(counts, bytes) else counts)


def _undo_differences(numbers: np.ndarray, string: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs from stored numbers: running sums over odd places, and over even places from 2 on, of each string."""
    first = np.searchsorted(string, np.arange(count))  # place of each string's first number
    place = np.arange(len(numbers)) - first[string]
    odd, even = place % 2 == 1, (place % 2 == 0) & (place > 0)
    runs = numbers.copy()
    for chosen in (odd, even):
        running = np.cumsum(np.where(chosen, numbers, 0))
        before = np.concatenate([[0], running])[first[string]]
        runs[chosen] = (running - before)[chosen]
    return runs, odd


def _inspect_one(
    frame: int, mask: Any, height: int, width: int
) -> tuple[MaskFault | None, bytes | np.ndarray | None]:
    """The fault of one mask, or its counts: bytes (yet to be read), runs (int64), None for polygons."""
    if isinstance(mask, list | tuple):
        return _polygon_fault(frame, mask, height, width), None
    if not isinstance(mask, dict) or 'counts' not in mask or 'size' not in mask:
        found = f'keys {sorted(mask)}' if isinstance(mask, dict) else f'a {type(mask).__name__}'
        fix = "write polygons, RLE {'size': [h, w], 'counts': ...}, or null"
        return MaskFault(frame, 'mask-type', found, fix), None
    size = mask['size']
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        found = f'RLE of size {reprlib.repr(size)} in a video of [height, width] = [{height}, {width}]'
        return MaskFault(frame, 'mask-size', found, 'write every mask at the size of its video'), None
    counts = mask['counts']
    if isinstance(counts, str):
        counts = counts.encode('utf-8', 'surrogatepass')  # other characters become bytes that RLE lacks
    if isinstance(counts, bytes):
        return None, counts
    if not isinstance(counts, list | tuple):
        return _counts_fault(frame, f'counts of type {type(counts).__name__}'), None
    return _list_fault(frame, counts, height, width)


def _list_fault(
    frame: int, counts: Sequence[Any], height: int, width: int
) -> tuple[MaskFault | None, np.ndarray | None]:
    """Uncompressed RLE: its fault, or the runs as int64."""
    try:
        runs = np.asarray(counts)
    except ValueError:  # ragged
        runs = np.empty(0, dtype=object)
    if runs.ndim != 1 or runs.dtype.kind not in 'iu' or bool in map(type, counts):
        return _counts_fault(frame, 'counts that are not a list of integers'), None
    if len(runs) and runs.min() < 0:
        return _counts_fault(frame, f'a negative run ({runs.min()})'), None
    total = sum(map(int, counts))  # a sum of int64 wraps
    if total != height * width:
        return _counts_fault(frame, _wrong_total(total, height, width)), None
    return None, runs.astype(np.int64)


def _polygon_fault(frame: int, polygons: Sequence[Any], height: int, width: int) -> MaskFault | None:
    fix = 'write a list of polygons [[x1, y1, x2, y2, x3, y3, ...], ...] in pixels'
    if all(isinstance(x, int | float) for x in polygons):
        return MaskFault(frame, 'polygon', f'a flat list of {len(polygons)} numbers', fix)
    for polygon in polygons:
        if not isinstance(polygon, list | tuple) or not all(isinstance(x, int | float) for x in polygon):
            return MaskFault(frame, 'polygon', 'a polygon that is not a list of numbers', fix)
        if len(polygon) < 6 or len(polygon) % 2:
            found = f'a polygon of {len(polygon)} numbers'
            return MaskFault(frame, 'polygon', found, f'{fix}: an even count, three points or more')
        if not all(map(is_finite_number, polygon)):
            return MaskFault(frame, 'polygon', 'a polygon with a coordinate that is not finite', fix)
        points = np.asarray(polygon, dtype=np.float64)
        if np.abs(points).max() > POLYGON_REACH * max(height, width):
            found = f'a polygon with a coordinate of {points[np.abs(points).argmax()]:g}'
            return MaskFault(frame, 'polygon', found, f'clip polygons to the picture, {width} by {height} pixels')
    return None


def _wrong_total(total: int, height: int, width: int) -> str:
    return f'runs that sum to {total} in a picture of {height} x {width} = {height * width} pixels'


def _counts_fault(frame: int, found: str) -> MaskFault:
    return MaskFault(frame, 'rle-counts', f'RLE with {found}', 'encode the mask again with pycocotools')
