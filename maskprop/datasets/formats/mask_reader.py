"""Pictures of masks of one video, whatever their kind, as label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from maskprop.datasets.formats.object_edges import ObjectEdges
from maskprop.datasets.formats.pictures import INDEXED, check_same_size, open_picture
from maskprop.datasets.formats.tracks import ReadOptions, VideoInfo
from maskprop.datasets.json_files import AnnotationError

COLOURED = ('RGB', 'RGBA')
IGNORED = 255  # pixels of no object that is to be learnt


class MaskReader:
    """Reads the pictures of one video as label maps, values or colours (red * 65536 + green * 256 + blue)."""

    def __init__(self, info: VideoInfo, where: str, options: ReadOptions) -> None:
        self.info, self.where, self.options = info, where, options
        self.ignored: int | None = IGNORED
        self.saw_ignored = False
        self._kind: str | None = None
        self._colours: dict[int, tuple[tuple[int, ...], Path]] = {}
        self._edges: ObjectEdges | None = None

    def read(self, path: Path) -> np.ndarray:
        """(H, W) integers; 0 is no object."""
        with open_picture(path) as picture:
            check_same_size(path, picture.size, (self.info.width, self.info.height))
            coloured = picture.mode in COLOURED or (picture.mode == 'P' and self.options.by_colour)
            if not coloured and picture.mode not in INDEXED:
                raise AnnotationError(
                    f'{path}: a picture of mode {picture.mode}; expected an indexed or grey PNG of 8 bits, whose '
                    'values are numbers of objects, or a coloured one'
                )
            self._check_kind(path, 'colours' if coloured else 'values')
            mask = _colour_codes(picture) if coloured else np.asarray(picture).astype(np.int32)
            if picture.mode == 'P' and not coloured and not self.options.binary:
                self._check_palette(path, picture, mask)
            smooth = picture.mode != 'P'
        if self.options.binary:
            return (mask > 0).astype(np.int32)
        self.saw_ignored |= not coloured and bool((mask == IGNORED).any())
        if smooth:
            self._edges = self._edges or ObjectEdges(self.where, None if coloured else IGNORED)
            self._edges.add(mask)
        return mask

    def key(self, value: int) -> str:
        """An object as classes.json names it: '3', or '#ff0000'."""
        return f'#{value:06x}' if self._kind == 'colours' and not self.options.binary else str(value)

    def check(self) -> None:
        """Looks for smoothed edges."""
        if self._edges:
            self._edges.check()

    def _check_kind(self, path: Path, kind: str) -> None:
        if self._kind not in (None, kind):
            raise AnnotationError(f'{path}: has {kind}, other pictures of the video {self._kind}; write all alike')
        self._kind = kind
        if kind == 'colours' or self.options.binary:
            self.ignored = None

    def _check_palette(self, path: Path, picture: Image.Image, mask: np.ndarray) -> None:
        if self.options.by_colour is False:
            return
        palette = picture.getpalette() or []
        for value in np.unique(mask).tolist():
            colour = tuple(palette[3 * value : 3 * value + 3])
            known, first = self._colours.setdefault(value, (colour, path))
            if known != colour and value not in (0, IGNORED):
                raise AnnotationError(
                    f'{path}: value {value} has the colour {colour}, but {known} in {first.name}; say what tells '
                    'objects apart: --by colour, or --by value'
                )


def _colour_codes(picture: Image.Image) -> np.ndarray:
    """(H, W) int32 of colours; black, and what is transparent, is 0."""
    pixels = np.asarray(picture.convert('RGBA')).astype(np.int32)
    codes = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
    return np.where(pixels[..., 3] == 0, 0, codes)
