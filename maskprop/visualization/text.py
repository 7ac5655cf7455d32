"""Readable text on images: anti-aliased, with a background box, in any script that DejaVu Sans covers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'), size)


@lru_cache(maxsize=1024)
def text_alpha(text: str, size: int) -> np.ndarray:
    """Coverage of a line of text.

    Args:
        text: one line.
        size: font size, pixels.

    Returns:
        (h, w) float32 in [0, 1], read-only; h depends on the size alone, so that labels line up.
    """
    font = _font(size)
    ascent, descent = font.getmetrics()
    image = Image.new('L', (max(1, round(font.getlength(text))), ascent + descent))
    ImageDraw.Draw(image).text((0, 0), text, font=font, fill=255)
    alpha = np.asarray(image, dtype=np.float32) / 255
    alpha.setflags(write=False)
    return alpha


def paste_text(image: np.ndarray, text: str, xy: tuple[int, int], size: int, color: tuple[int, int, int]) -> None:
    """Blends text into a BGR uint8 image in place; xy = left, top in pixels. What sticks out is cut off."""
    x, y = xy
    alpha = text_alpha(text, size)[
        max(0, -y) : max(0, image.shape[0] - y), max(0, -x) : max(0, image.shape[1] - x)
    ]
    if alpha.size == 0:
        return
    x, y = max(0, x), max(0, y)
    region = image[y : y + alpha.shape[0], x : x + alpha.shape[1]]
    blended = region * (1 - alpha[..., None]) + np.array(color, np.float32) * alpha[..., None]
    region[...] = np.rint(blended).astype(np.uint8)


def contrasting(background: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white (BGR), whichever reads better on a BGR colour."""
    blue, green, red = background
    return (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 128 else (255, 255, 255)
