"""Tells smoothed edges from numbers of objects in pictures of masks."""

from __future__ import annotations

import warnings
from collections import Counter

import cv2
import numpy as np

from maskprop.datasets.json_files import AnnotationError

LEAST_RINGS = 3  # so many values without an inside are edges that were smoothed, not objects
MOST_COLOURS = 1000  # in one picture; more are a photograph


class ObjectEdges:
    """Looks for values that are only edges, in the pictures of one video.

    A smoothed edge is a set of rings, each of its own grey or colour: values without an inside, that is without a
    pixel whose eight neighbours have the same value. Indexed pictures are not interpolated as a rule.

    Args:
        where: names the pictures in messages.
        ignored: a value that is no object, but as large as one where masks were drawn in white.
    """

    def __init__(self, where: str, ignored: int | None) -> None:
        self.where = where
        self.ignored = ignored
        self.counts: Counter[int] = Counter()
        self.with_inside: set[int] = set()

    def add(self, mask: np.ndarray) -> None:
        """mask: (H, W) integers below 2^24."""
        values, counts = np.unique(mask, return_counts=True)
        self.counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        if len(values) > MOST_COLOURS:
            found = f'{len(values)} colours in one picture'
            raise AnnotationError(f'{self.where}: {found}; masks have one for each object, without shades')
        exact, window = mask.astype(np.float32), np.ones((3, 3), np.uint8)
        inside = cv2.erode(exact, window) == cv2.dilate(exact, window)
        self.with_inside |= set(np.unique(mask[inside]).tolist())

    def check(self) -> None:
        """Refuses edges around the ignored value, or more edges than objects; warns of others."""
        objects = [value for value in sorted(self.counts) if value not in (0, self.ignored)]
        rings = [value for value in objects if value not in self.with_inside]
        shown = f'{", ".join(map(str, rings[:8]))}{", ..." if len(rings) > 8 else ""}'
        fix = 'write numbers of objects without interpolation (indexed PNGs are taken as they are)'
        largest = max((self.counts[value] for value in objects), default=0)
        if rings and rings == objects and self.ignored is not None and self.counts[self.ignored] > largest:
            raise AnnotationError(
                f'{self.where}: values {shown} are only edges, and the most frequent after 0 is {self.ignored} '
                f'(ignored), as where masks were smoothed: pass --binary if that is one object, or {fix}'
            )
        if len(rings) < LEAST_RINGS:
            return
        found = f'values {shown} are only edges, as where masks were smoothed'
        if self.ignored is None and len(rings) > len(objects) - len(rings):
            raise AnnotationError(f'{self.where}: {found}; {fix}')
        warnings.warn(f'{self.where}: {found}; {fix}', stacklevel=4)
