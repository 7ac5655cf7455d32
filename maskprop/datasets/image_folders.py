"""The pictures of a folder, in order."""

from __future__ import annotations

import re
from pathlib import Path

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
    """(width, height), as an image reader that obeys the EXIF orientation would give it, None if unreadable."""
    found = image_header(path)
    return None if found is None else found[:2]


def image_header(path: Path) -> tuple[int, int, int] | None:
    """(width, height, EXIF orientation), the size as :func:`image_size` gives it; None if unreadable."""
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
            width, height = (image.height, image.width) if orientation >= 5 else (image.width, image.height)
            return width, height, orientation
    except OSError:
        return None


def is_whole_image(path: Path) -> bool:
    """Whether the picture can be decoded to its end."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError):  # SyntaxError: of a damaged PNG
        return False
    return True
