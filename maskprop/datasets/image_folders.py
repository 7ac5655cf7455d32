"""The pictures of a folder, in order."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

EXIF_ORIENTATION = 0x0112
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts names as people count: frame2 before frame10."""
    parts = re.split(r'(\d+)', path.name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def list_images(folder: Path) -> list[Path]:
    """Pictures in natural order (2.jpg before 10.jpg), without hidden ones."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((path for path in found if not path.name.startswith('.')), key=natural_key)


def image_size(path: Path) -> tuple[int, int] | None:
    """(width, height) as the training's reader gives it, None if it is no image that can be read."""
    found = image_header(path)
    return None if found is None else found[:2]


def image_header(path: Path) -> tuple[int, int, int] | None:
    """(width, height, EXIF orientation), the size as of :func:`image_size`; None if it can't be read.

    From the header. Only a picture that its EXIF data may turn is decoded, by the OpenCV that training uses, as
    rules differ by format and version. One of more than Pillow's limit of 179 million pixels counts as unreadable.
    """
    try:
        with Image.open(path) as image:
            size, orientation = image.size, exif_orientation(image)
    except Exception:  # Pillow's parsers raise anything on damaged files
        return None
    if orientation == 1:
        return *size, 1
    decoded = _decode(path)
    return None if decoded is None else (*decoded.shape[1::-1], orientation)


def exif_orientation(image: Image.Image) -> int:
    """How the picture is to be turned: 2 to 8; 1, not at all, also if EXIF data are absent or make no sense."""
    try:
        found = image.getexif().get(EXIF_ORIENTATION)
    except Exception:  # as above: damaged EXIF data
        return 1
    return found if isinstance(found, int) and 2 <= found <= 8 else 1


def is_whole_image(path: Path) -> bool:
    """Whether the picture can be decoded to its end, by the training's reader too."""
    try:
        with Image.open(path) as image:
            image.load()
    except Exception:  # as above
        return False
    return _decode(path) is not None


def largest_of_16_bits(path: Path) -> int | None:
    """The largest value of a picture of 16 bits a channel; None for one of 8 bits, or that can't be decoded."""
    decoded = _decode(path, unchanged=True)
    return int(decoded.max()) if decoded is not None and decoded.dtype == np.uint16 else None


def _decode(path: Path, unchanged: bool = False) -> np.ndarray | None:
    """As mmcv's reader does: bytes first, which handles more files than ``cv2.imread``."""
    import cv2  # not needed to read annotations

    try:
        return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED if unchanged else cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        return None
