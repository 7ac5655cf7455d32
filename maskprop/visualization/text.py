"""Readable text on images: anti-aliased, with a background box, in any script that the machine has a font for."""

from __future__ import annotations

import os
import warnings
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

FONT_VARIABLE = 'MASKPROP_FONT'  # of the environment: a font file to draw with, before all others


def _own_font() -> str:
    return str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf')


@lru_cache(maxsize=16)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _characters(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # no font that FreeType reads
        return frozenset()


@lru_cache(maxsize=1024)
def _find_font(wanted: frozenset[int]) -> str | None:
    """The font that has the characters: the one named, DejaVu Sans, else the first of the machine; None."""
    named = [path] if (path := os.environ.get(FONT_VARIABLE)) else []
    for path in (*named, _own_font()):
        if wanted <= _characters(path):
            return path
    return next((path for path in _system_fonts() if wanted <= _characters(path)), None)


@lru_cache(maxsize=1)
def _system_fonts() -> list[str]:
    return sorted(font_manager.findSystemFonts())


def _drawable(text: str) -> tuple[str, str]:
    """The text as it can be drawn, in one line, and the font."""
    text = ''.join(c if c.isprintable() else ' ' for c in text)
    font = _find_font(frozenset(ord(c) for c in text if not c.isascii()) | set(b'Aa0'))
    if font is None:
        _warn_once(text)
        has = _characters(_own_font())
        text = ''.join(c if ord(c) in has else f'U+{ord(c):X}' for c in text)  # tells classes apart
    return text, font or _own_font()


def _warn_once(text: str, _warned: list[str] = []) -> None:  # noqa: B006
    if _warned:
        return
    _warned.append(text)
    warnings.warn(
        f'no font of this machine has all characters of {text!r}, so such characters are drawn by their numbers. '
        f'Install a font that has them (fonts-noto-cjk), or name its file: {FONT_VARIABLE}=FONT.ttf',
        stacklevel=4,
    )


@lru_cache(maxsize=1024)
def text_alpha(text: str, size: int) -> np.ndarray:
    """Coverage of a line of text.

    Args:
        text: one line; what cannot be printed, as a line break, is drawn as a space.
        size: font size, pixels.

    Returns:
        (h, w) float32 in [0, 1], read-only; h depends on the size alone, so that labels line up.
    """
    text, path = _drawable(text)
    font, (ascent, descent) = _font(path, size), _font(_own_font(), size).getmetrics()
    image = Image.new('L', (max(1, round(font.getlength(text))), ascent + descent))
    ImageDraw.Draw(image).text((0, ascent), text, font=font, fill=255, anchor='ls')
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
