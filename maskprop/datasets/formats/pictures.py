"""Pictures of frames and of masks, read with errors that say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from maskprop.datasets.image_folders import exif_orientation
from maskprop.datasets.json_files import AnnotationError

INDEXED = ('P', 'L', '1')  # modes of PIL whose values are 0..255


@contextlib.contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """PIL's picture, which is read inside.

    Raises:
        AnnotationError: it can't be read.
    """
    try:
        with Image.open(path) as picture:
            yield picture
    except AnnotationError:
        raise
    except Exception:  # Pillow's parsers raise anything on damaged files
        raise AnnotationError(f'{path}: not a picture that can be read; the file may be damaged') from None


def frame_size(path: Path) -> tuple[int, int]:
    """(width, height) of a frame.

    Raises:
        AnnotationError: it can't be read, or its EXIF data turn it.
    """
    with open_picture(path) as picture:
        if exif_orientation(picture) != 1:
            raise AnnotationError(
                f'{path}: turned by its EXIF orientation, which image readers obey or not, so that masks may not '
                'fit. Write the frames upright (maskprop extract does)'
            )
        return picture.size


def picture_mode(path: Path) -> str | None:
    """PIL's mode of a picture, by its header; None: it can't be read."""
    try:
        with open_picture(path) as picture:
            return picture.mode
    except AnnotationError:
        return None


def check_same_size(path: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    """Raises AnnotationError unless a picture of masks is as large as its frame, (width, height)."""
    if size != expected:
        found = '{}x{}'.format(*size)
        raise AnnotationError(f'{path}: {found}, but the frames are {expected[0]}x{expected[1]}')


def split_values(label_map: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each value of an (H, W) array but 0, ascending, with its (H, W) bool mask."""
    small = label_map.max(initial=0) < 2**17  # counting is faster than sorting
    values = np.flatnonzero(np.bincount(label_map.ravel())) if small else np.unique(label_map)
    for value in values.tolist():
        if value:
            yield value, label_map == value
