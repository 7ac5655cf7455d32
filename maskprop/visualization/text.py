"""Readable text on images: anti-aliased, cut at a width, in any script that the machine has a font for."""

from __future__ import annotations

import os
import unicodedata
import warnings
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont, features

from maskprop.utils.text import one_line

FONT_VARIABLE = 'MASKPROP_FONT'  # of the environment: a font file to draw with, before all others
ELLIPSIS = '…'
_LAYOUT: dict[str, Any] = (
    dict(direction='ltr') if features.check('raqm') else {}
)  # else Pillow lays out no bidirectional text
_LEFT_TO_RIGHT = '\u200e'  # a mark that is not drawn


def _own_font() -> str:
    return str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf')


@lru_cache(maxsize=16)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _characters(path: str) -> frozenset[int]:
    try:
        font = FT2Font(path)
        return frozenset(font.get_charmap() if font.scalable else ())  # pictures of emoji have one size
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
    # LastResort has a box for every character
    return sorted(path for path in font_manager.findSystemFonts() if 'LastResort' not in path)


@lru_cache(maxsize=1024)
def _runs(text: str) -> tuple[tuple[str, str], ...]:
    """The text as it can be drawn, in one line, in pieces of one font each: (piece, font)."""
    text = one_line(text, keep=_LEFT_TO_RIGHT)
    if (font := _find_font(frozenset(map(ord, text)))) is not None:
        return ((text, font),)
    runs: list[tuple[str, str]] = []
    for character in text:
        font = _font_of(character, runs[-1][1] if runs else _own_font())
        if font is None:
            _warn_once(text)
        # the number of a character that no font has tells classes apart
        piece, font = (character, font) if font else (f'U+{ord(character):X}', _own_font())
        if runs and runs[-1][1] == font:
            runs[-1] = (runs[-1][0] + piece, font)
        else:
            runs.append((piece, font))
    return tuple(runs)


def _font_of(character: str, before: str) -> str | None:
    """The font of the characters before it if it has this one, so that pieces are long."""
    return before if ord(character) in _characters(before) else _find_font(frozenset([ord(character)]))


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
    runs = _runs(text)
    widths = [_font(path, size).getlength(piece, **_LAYOUT) for piece, path in runs]
    ascent, descent = _font(_own_font(), size).getmetrics()
    image = Image.new('L', (max(1, round(sum(widths))), ascent + descent))
    left = 0.0
    for (piece, path), width in zip(runs, widths, strict=True):
        font = _font(path, size)
        ImageDraw.Draw(image).text((left, ascent), piece, font=font, fill=255, anchor='ls', **_LAYOUT)
        left += width
    alpha = np.asarray(image, dtype=np.float32) / 255
    alpha.setflags(write=False)
    return alpha


def isolate(text: str) -> str:
    """A name that may be read from the right, Hebrew or Arabic, so that what follows it stands right of it."""
    from_the_right = any(unicodedata.bidirectional(c) in ('R', 'AL') for c in text)
    return text + _LEFT_TO_RIGHT if from_the_right and _LAYOUT else text


@lru_cache(maxsize=1024)
def cut_text(text: str, size: int, width: int) -> str:
    """A line of text, cut with an ellipsis if it is wider than ``width`` pixels; one character stays at least."""
    # an accent, which takes no width, stays with its letter
    first = next((i for i in range(1, len(text)) if not unicodedata.combining(text[i])), len(text))
    if first == len(text) or text_alpha(text, size).shape[1] <= width:
        return text
    fitting, too_long = 1, len(text)
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        fits = text_alpha(text[:middle] + ELLIPSIS, size).shape[1] <= width
        fitting, too_long = (middle, too_long) if fits else (fitting, middle)
    return text[: max(fitting, first)].rstrip() + ELLIPSIS


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
