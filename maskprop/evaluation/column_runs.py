"""Masks of a track as vertical runs of pixels: moved, scaled and intersected in all frames at once, none decoded.

COCO RLE runs down the columns, so a mask's foreground intervals, cut at the column ends, are such runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rle import VideoMasks

#: Pixels; far above the rounding of float64 coordinates, so that this does not decide where a half goes.
_HALF_GOES_UP = 1e-9


@dataclass
class ColumnRuns:
    """Foreground runs of the masks of several frames, sorted by frame, column and top; disjoint.

    Attributes:
        frame, column: int64 (R,). top, bottom: int64 (R,), the run is rows top..bottom-1 of its column.
        num_frames: T; frames without a mask have no run. size: (h, w).
    """

    frame: np.ndarray
    column: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    num_frames: int
    size: tuple[int, int]

    @classmethod
    def of_track(cls, masks: VideoMasks, row: int) -> ColumnRuns:
        """The runs of one track (with stored intervals) in every frame of its video."""
        frame, start, end = masks.intervals(row)
        height = masks.size[0]
        first = start // height
        which, column = _ranges(first, (end - 1) // height - first + 1)
        top = np.maximum(start[which] - column * height, 0)
        bottom = np.minimum(end[which] - column * height, height)
        return cls(frame[which], column, top, bottom, masks.areas.shape[1], masks.size)

    def of_frames(self, frames: np.ndarray) -> ColumnRuns:
        """The masks of ``frames``, int64 (P,), as frames 0..P-1."""
        first = np.searchsorted(self.frame, frames, side='left')
        which, run = _ranges(first, np.searchsorted(self.frame, frames, side='right') - first)
        return ColumnRuns(which, self.column[run], self.top[run], self.bottom[run], frames.size, self.size)

    def areas(self) -> np.ndarray:
        """Pixels of each frame's mask: float64 (T,), whole numbers."""
        return self._sum(self.bottom - self.top)

    def centroids(self) -> np.ndarray:
        """Mean (x, y) of the pixel centres of each frame's mask, a pixel's centre being its index: float64 (T, 2).

        (0, 0) where there is no mask.
        """
        length = self.bottom - self.top
        sums = [self._sum(self.column * length), self._sum((self.top + self.bottom - 1) * length) / 2]
        return np.stack(sums, axis=1) / np.maximum(self.areas(), 1)[:, None]

    def _sum(self, of_run: np.ndarray) -> np.ndarray:
        return np.bincount(self.frame, weights=of_run, minlength=self.num_frames)

    def moved(self, origin: np.ndarray, target: np.ndarray, scale: np.ndarray) -> ColumnRuns:
        """Each frame's mask under q = target + scale (p - origin): affine warp, nearest, cut at the frame.

        A pixel (x', y') of the frame is foreground if the pixel (floor(x + 1/2), floor(y + 1/2)) of the mask is,
        where (x, y) = origin + ((x', y') - target) / scale; pixel centres have whole coordinates. Runs are
        mapped by their ends, so only what is foreground before or after is ever touched.

        Args:
            origin, target: float64 (T, 2), (x, y). scale: float64 (T,), above 0. Every frame must have a mask.
        """
        height, width = self.size
        first = np.searchsorted(self.frame, np.arange(self.num_frames), side='left')
        last = np.searchsorted(self.frame, np.arange(self.num_frames), side='right') - 1
        leftmost, rightmost = self.column[first], self.column[last]
        left = _begin(leftmost, origin[:, 0], target[:, 0], scale, width)
        right = _begin(rightmost + 1, origin[:, 0], target[:, 0], scale, width)
        frame, column = _ranges(left, right - left)
        x = origin[frame, 0] + (column - target[frame, 0]) / scale[frame]
        source = np.clip(np.floor(x + 0.5 + _HALF_GOES_UP).astype(np.int64), leftmost[frame], rightmost[frame])
        place, wanted = self.frame * width + self.column, frame * width + source
        first = np.searchsorted(place, wanted, side='left')
        which, run = _ranges(first, np.searchsorted(place, wanted, side='right') - first)
        frame, column = frame[which], column[which]
        vertical = origin[frame, 1], target[frame, 1], scale[frame], height
        top, bottom = _begin(self.top[run], *vertical), _begin(self.bottom[run], *vertical)
        keep = bottom > top
        return ColumnRuns(frame[keep], column[keep], top[keep], bottom[keep], self.num_frames, self.size)

    def ious(self, other: ColumnRuns) -> np.ndarray:
        """IoU of the two masks of each frame, 0 where both are empty: float64 (T,)."""
        shared = self._sum(other._covered(self._linear(self.bottom)) - other._covered(self._linear(self.top)))
        union = self.areas() + other.areas() - shared
        return np.divide(shared, union, out=np.zeros(self.num_frames), where=union > 0)

    def _linear(self, row: np.ndarray) -> np.ndarray:
        """Position of a row (h: the end) of each run's column, all columns of all frames laid end to end."""
        return (self.frame * self.size[1] + self.column) * self.size[0] + row

    def _covered(self, position: np.ndarray) -> np.ndarray:
        """How many pixels before each position are foreground."""
        start, end = self._linear(self.top), self._linear(self.bottom)
        before = np.concatenate([[0], np.cumsum(end - start)])
        index = np.searchsorted(start, position, side='right')
        last_end = np.concatenate([[0], end])[index]
        return before[index] - np.maximum(last_end - position, 0)


def _begin(edge: np.ndarray, origin: np.ndarray, target: np.ndarray, scale: np.ndarray, limit: int) -> np.ndarray:
    """First coordinate in 0..limit whose nearest source coordinate is ``edge`` or more: int64, like ``edge``."""
    position = target + scale * (edge - 0.5 - _HALF_GOES_UP - origin)
    return np.clip(np.ceil(position), 0, limit).astype(np.int64)


def _ranges(first: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ranges first[i]..first[i]+count[i]-1 end to end: which i each number comes from, and the numbers."""
    which = np.repeat(np.arange(count.size), count)
    return which, np.arange(which.size) + (first - (np.cumsum(count) - count))[which]
