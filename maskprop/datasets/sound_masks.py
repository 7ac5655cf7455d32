"""All masks of an object at once; only where one may have a fault, ``rle`` looks at them one by one."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskprop.datasets.mask_kernels import LONGEST_NUMBER, compiled
from maskprop.datasets.rle import POLYGON_REACH, MaskFault, compress, inspect_masks, is_absent, measure_strings

_FEW = 512  # numbers, whose types are looked at faster than for those that may be bool
MANY = 5000  # masks; for fewer it takes longer to load the compiled loops


@dataclass
class ObjectMasks:
    """The masks of one object.

    Attributes:
        masks: one entry a frame: None, or the mask as it was; for training None, compressed RLE, or polygons.
        areas: (n,) float64, pixels; of polygons nan, or 0 if they have none; nan where there is no mask, or one
            with a fault.
        visible: (n,) bool, whether the mask has a pixel; all False if a mask has a fault.
    """

    masks: list[Any]
    areas: np.ndarray
    visible: np.ndarray


class MaskReader:
    """Reads and checks the masks of one object after the other.

    Args:
        count: how many there are; many are read by compiled loops.
        for_training: also give what training needs: lists of runs as strings.
    """

    def __init__(self, count: int, for_training: bool = False) -> None:
        self.loops: SimpleNamespace | None = compiled() if count >= MANY else None
        self.for_training = for_training

    def read(self, segmentations: Sequence[Any], height: int, width: int) -> tuple[list[MaskFault], ObjectMasks]:
        """The faults of one object's masks in order of frames, and the masks.

        Args:
            segmentations: one entry a frame; see :func:`maskprop.datasets.rle.inspect_masks`.
            height, width: of the video in pixels.
        """
        found = self._read_at_once(segmentations, height, width)
        if found is not None:
            return [], found
        faults, areas = inspect_masks(segmentations, height, width)
        masks = [None if is_absent(mask) else mask for mask in segmentations]
        visible = np.zeros(len(masks), dtype=bool)
        if not faults:
            rles = [None if mask is None else compress(mask, height, width) for mask in masks]
            visible[:] = [rle is not None and coco_mask.area(rle) > 0 for rle in rles]
            masks = rles if self.for_training else masks
            areas[[mask is not None for mask in masks] & ~visible] = 0
        return faults, ObjectMasks(masks, areas, visible)

    def _read_at_once(self, segmentations: Sequence[Any], height: int, width: int) -> ObjectMasks | None:
        """The masks; None if one of them has a fault, or it takes a closer look to know."""
        kinds = set(map(type, segmentations)) - {type(None)}
        places = [i for i, mask in enumerate(segmentations) if mask is not None and mask != []]
        given = [segmentations[i] for i in places]
        found: tuple[list[Any], np.ndarray, np.ndarray] | None = None
        if not given:
            found = [], np.empty(0), np.empty(0, dtype=bool)
        elif kinds == {dict}:
            found = self._rles(given, height, width)
        elif kinds == {list}:
            found = self._polygons(given, height, width)
        if found is None:
            return None
        count = len(segmentations)
        if len(given) == count:
            return ObjectMasks(*found)
        result = ObjectMasks([None] * count, np.full(count, np.nan), np.zeros(count, dtype=bool))
        for place, mask in zip(places, found[0], strict=True):
            result.masks[place] = mask
        result.areas[places], result.visible[places] = found[1:]
        return result

    def _rles(
        self, given: list[dict], height: int, width: int
    ) -> tuple[list[dict], np.ndarray, np.ndarray] | None:
        size = [height, width]
        try:
            counts = [mask['counts'] for mask in given]
            sizes = [mask['size'] for mask in given]
        except KeyError:
            return None
        if sizes.count(size) < len(sizes):
            return None
        kinds = set(map(type, counts))
        strings: list[str] | None = counts
        if kinds == {str}:
            total, area, readable = self._measure(counts)
            if not readable.all():
                return None
        elif kinds == {list}:
            strings, total, area = self._encode(counts, height, width)
        else:
            return None
        if len(total) < len(given) or (total != height * width).any():
            return None
        if self.for_training and strings is not None:
            given = [{'size': size, 'counts': string} for string in strings]
        return given, area.astype(np.float64), area > 0

    def _measure(self, strings: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.loops is None:
            return measure_strings([string.encode('utf-8', 'surrogatepass') for string in strings])
        total, area = np.zeros((2, len(strings)), dtype=np.int64)
        readable = np.zeros(len(strings), dtype=bool)
        joined = ''.join(strings)
        if joined.isascii():
            chars = np.frombuffer(joined.encode('ascii'), dtype=np.uint8)
            self.loops.measure_strings(chars, _bounds(strings), total, area, readable)
        return total, area, readable

    def _encode(
        self, counts: list[list[int]], height: int, width: int
    ) -> tuple[list[str] | None, np.ndarray, np.ndarray]:
        """Strings (for training), sums of all runs (empty if they have a fault), areas."""
        bounds = _bounds(counts)
        runs = as_numbers(counts, whole=True)
        if runs is None or not len(runs) or runs.min() < 0:
            return None, np.empty(0), np.empty(0)
        if self.loops is not None:
            total, area, ends = np.zeros((3, len(counts)), dtype=np.int64)
            chars = np.empty(LONGEST_NUMBER * len(runs), dtype=np.uint8)
            self.loops.encode_runs(runs, bounds, total, area, chars, ends)
            text = chars[: ends[-1]].tobytes().decode('ascii')
            cuts = [0, *ends.tolist()]
            return [text[a:b] for a, b in zip(cuts, cuts[1:], strict=False)], total, area
        parts = np.split(runs, bounds[1:-1])
        total = np.array([part.sum() for part in parts])
        area = np.array([part[1::2].sum() for part in parts])
        if not self.for_training or (total != height * width).any():
            return None, total, area
        rles = coco_mask.frPyObjects([dict(size=[height, width], counts=part) for part in parts], height, width)
        return [rle['counts'].decode('ascii') for rle in rles], total, area

    def _polygons(
        self, given: list[list], height: int, width: int
    ) -> tuple[list[list], np.ndarray, np.ndarray] | None:
        polygons = list(chain.from_iterable(given))
        if set(map(type, polygons)) != {list}:
            return None
        bounds = _bounds(polygons)
        lengths = np.diff(bounds)
        if lengths.min() < 6 or (lengths % 2).any():
            return None
        numbers = as_numbers(polygons)
        # also False where one is nan
        if numbers is None or not np.abs(numbers).max() <= POLYGON_REACH * max(height, width):
            return None
        visible = np.zeros(len(given), dtype=bool)
        if self.loops is not None:
            sure = np.zeros(len(polygons), dtype=bool)
            self.loops.surely_visible(numbers.reshape(-1, 2), bounds // 2, height, width, sure)
            visible = np.logical_or.reduceat(sure, _bounds(given)[:-1])
        for place in np.flatnonzero(~visible):
            visible[place] = coco_mask.area(compress(given[place], height, width)) > 0
        return given, np.where(visible, np.nan, 0.0), visible


def as_numbers(lists: Sequence[list], whole: bool = False) -> np.ndarray | None:
    """The numbers of some lists, end to end; None if something there is no number, or too large.

    Args:
        lists: of integers and floats, bool being none.
        whole: take integers only, and give int32 in place of float64.
    """
    numbers = array('i' if whole else 'd')
    try:
        for values in lists:
            numbers.fromlist(values)
    except (OverflowError, TypeError):
        return None
    if not numbers:
        return np.empty(0)
    found = np.frombuffer(numbers, dtype=numbers.typecode)
    if len(found) <= _FEW:
        return found if set(map(type, chain.from_iterable(lists))) <= {int, float} else None
    unclear = np.flatnonzero(found <= 1 if whole else (found == 0) | (found == 1))  # some may have been bool
    if len(unclear):
        bounds = _bounds(lists)
        rows = np.searchsorted(bounds, unclear, side='right') - 1
        for row, column in zip(rows.tolist(), (unclear - bounds[rows]).tolist(), strict=True):
            if type(lists[row][column]) not in (int, float):
                return None
    return found


def _bounds(lists: Sequence[Any]) -> np.ndarray:
    """(n + 1,) int64: where each of n lists begins when they are laid end to end, and the end."""
    bounds = np.zeros(len(lists) + 1, dtype=np.int64)
    np.cumsum(list(map(len, lists)), out=bounds[1:])
    return bounds
