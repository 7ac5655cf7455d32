"""Images on disk that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from maskprop.utils.files import replace_when_done


def write_image(path: str | Path, image_bgr: np.ndarray) -> None:
    """Writes a (h, w, 3) uint8 BGR image in the format of the suffix; makes its folder.

    Raises:
        ValueError: the suffix is of no image format that OpenCV writes.
    """
    suffix = Path(path).suffix
    if not suffix or not cv2.haveImageWriter(f'x{suffix}'):
        raise ValueError(f'{path}: "{suffix}" is not an image format that OpenCV writes; use .png or .jpg')
    with replace_when_done(path) as temporary:
        temporary.write_bytes(cv2.imencode(suffix, image_bgr)[1].tobytes())
