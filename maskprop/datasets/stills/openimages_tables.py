"""OpenImages' CSV files, read row by row into tables that stay small: columns are found by their names.

Rows of one image stand together in the published files, but nothing here relies on it.
"""

from __future__ import annotations

import contextlib
import csv
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from maskprop.datasets.stills.class_map import SourceClass
from maskprop.datasets.ytvis_json import AnnotationError

FLAGS = ('IsGroupOf', 'IsDepiction', 'IsInside', 'machine')  # bits of a box, lowest first
MACHINE = 'activemil'  # Source of the boxes that a model drew and annotators verified
_CORNERS = ('XMin', 'YMin', 'XMax', 'YMax')
_ROWS_A_REPORT = 1_000_000


class BoxTable:
    """The boxes of the map's classes, grouped by image.

    Attributes:
        images: ids of the images, in the order of the file; without a box only where ``keep_empty``.
        keys: the map's keys (MIDs); ``key`` numbers them.
        key: (n,) int16. corners: (n, 4) float32 of x1, y1, x2, y2 in 0..1. flags: (n,) uint8, bits of FLAGS.
    """

    def __init__(self, images: list[str], keys: list[str], image: array, key: array, corners: array, flags: array):
        order = np.argsort(np.frombuffer(image, np.int32), kind='stable')
        self.images, self.keys = images, keys
        self.key = np.frombuffer(key, np.int16)[order]
        self.corners = np.frombuffer(corners, np.float32).reshape(-1, 4)[order]
        self.flags = np.frombuffer(flags, np.uint8)[order]
        self._starts = np.searchsorted(np.frombuffer(image, np.int32)[order], np.arange(len(images) + 1))

    def rows(self, image: int) -> slice:
        """Rows of the image at this place."""
        return slice(int(self._starts[image]), int(self._starts[image + 1]))


def read_boxes(
    path: str | Path,
    classes: Mapping[int | str, SourceClass],
    keep_empty: bool = False,
    progress: Callable[[int], None] | None = None,
) -> BoxTable:
    """Reads ``*-annotations-bbox.csv`` of any version (13 or 21 columns).

    Raises:
        AnnotationError: a column is missing, a number is none, or coordinates are not fractions.
    """
    keys = [str(key) for key in classes]
    number_of = {key: number for number, key in enumerate(keys)}
    place_of: dict[str, int] = {}
    image, key, corners, flags = array('i'), array('h'), array('f'), array('B')
    needed = ('ImageID', 'Source', 'LabelName', *_CORNERS, *FLAGS[:3])
    with open_table(path, needed) as (columns, rows):
        i_image, i_source, i_label, x1, y1, x2, y2, group, depiction, inside = columns
        for line, row in rows:
            if progress and line % _ROWS_A_REPORT == 0:
                progress(line)
            number = number_of.get(row[i_label])
            if number is None and not keep_empty:
                continue
            place = place_of.setdefault(row[i_image], len(place_of))
            if number is None:
                continue
            image.append(place)
            key.append(number)
            corners.extend((float(row[x1]), float(row[y1]), float(row[x2]), float(row[y2])))
            flags.append(
                (row[group] == '1')
                | (row[depiction] == '1') << 1
                | (row[inside] == '1') << 2
                | (row[i_source] == MACHINE) << 3
            )
    table = BoxTable(list(place_of), keys, image, key, corners, flags)
    wrong = ~((table.corners >= -0.01) & (table.corners <= 1.01)).all(1)
    if wrong.any():
        found = table.corners[wrong][0].round(3).tolist()
        raise AnnotationError(
            f'{path}: a box {_CORNERS} = {found}; expected fractions of width and height, 0 to 1'
        )
    return table


def read_verified_absent(path: str | Path, places: Mapping[str, int], wanted: Sequence[str]) -> dict[int, int]:
    """Classes that annotators found absent, of ``*-annotations-human-imagelabels-boxable.csv``.

    Args:
        places: image id -> place; other images are passed over.
        wanted: MIDs; bit b of an answer is the b-th.

    Returns:
        place -> bits of the MIDs with Confidence 0. Labels of machines (Source 'machine') are not counted.
    """
    bits = {mid: 1 << number for number, mid in enumerate(wanted)}
    absent: dict[int, int] = {}
    with open_table(path, ('ImageID', 'Source', 'LabelName', 'Confidence')) as (columns, rows):
        i_image, i_source, i_label, i_confidence = columns
        for _, row in rows:
            bit = bits.get(row[i_label])
            if bit is None or float(row[i_confidence]) != 0 or row[i_source] == 'machine':
                continue
            place = places.get(row[i_image])
            if place is not None:
                absent[place] = absent.get(place, 0) | bit
    return absent


Mask = tuple[str, tuple[float, float, float, float], str]  # MID, corners x1 y1 x2 y2 in 0..1, name of the PNG


def read_masks(path: str | Path, places: Mapping[str, int], mids: set[str]) -> dict[int, list[Mask]]:
    """Masks of ``*-annotations-object-segmentation.csv`` by image, of some images and classes."""
    masks: dict[int, list[Mask]] = {}
    needed = ('ImageID', 'LabelName', 'MaskPath', *(f'Box{corner}' for corner in _CORNERS))
    with open_table(path, needed) as (columns, rows):
        i_image, i_label, i_path, *corners = columns
        for _, row in rows:
            place = places.get(row[i_image])
            if place is not None and row[i_label] in mids:
                x1, y1, x2, y2 = (float(row[i]) for i in corners)
                masks.setdefault(place, []).append((row[i_label], (x1, y1, x2, y2), row[i_path]))
    return masks


def read_turned(path: str | Path, places: Mapping[str, int]) -> set[int]:
    """Images whose Rotation in ``*-images-with-rotation.csv`` is 90, 180 or 270 degrees."""
    turned = set()
    with open_table(path, ('ImageID', 'Rotation')) as ((i_image, i_rotation), rows):
        for _, row in rows:
            place = places.get(row[i_image])
            if place is not None and row[i_rotation] not in ('', 'nan') and float(row[i_rotation]) != 0:
                turned.add(place)
    return turned


def read_names(path: str | Path) -> dict[str, str]:
    """MID -> name, of ``class-descriptions-boxable.csv`` with or without a header."""
    with open(path, encoding='utf-8-sig', newline='') as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and rows[0][0] == 'LabelName':
        rows = rows[1:]
    bad = next((row for row in rows if len(row) < 2 or not row[0].startswith('/')), None)
    if bad is not None or not rows:
        raise AnnotationError(f'{path}: found {bad!r}; expected rows of a MID (/m/01yrx) and a name')
    return {row[0]: row[1] for row in rows}


@contextlib.contextmanager
def open_table(
    path: str | Path, needed: Sequence[str]
) -> Iterator[tuple[list[int], Iterator[tuple[int, list[str]]]]]:
    """The places of some columns, and (line, row) of every row.

    Raises:
        AnnotationError: a column is missing; inside, a row is too short or a number is none.
    """
    with open(path, encoding='utf-8-sig', newline='') as file:
        reader = csv.reader(file)
        header = next(reader, [])
        missing = [name for name in needed if name not in header]
        if missing:
            raise AnnotationError(f'{path}: column {missing[0]}: missing; the file has {", ".join(header[:21])}')
        try:
            yield [header.index(name) for name in needed], ((n, row) for n, row in enumerate(reader, 1) if row)
        except (ValueError, IndexError) as error:
            if isinstance(error, AnnotationError):
                raise
            raise AnnotationError(
                f'{path}: line {reader.line_num}: {error}; the file may be cut short: download it again'
            ) from None
