"""Masks of one video's tracks as RLE: decoding, areas and intersections, with numba or with pycocotools.

COCO RLE counts run down the columns: background, foreground, background, ...; a compressed string holds them as
base-32 digits, from the fourth on as differences to the count two before.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskprop.utils.errors import UserError

from .kernels import get_kernels

#: Digits of one count; 9 base-32 digits hold any difference of 32-bit counts.
_MAX_DIGITS = 9


class RLEError(UserError, ValueError):
    """A compressed RLE string that isn't a mask of its frame; ``index`` says which of those given."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


def decode_counts(counts: str | bytes) -> np.ndarray:
    """Run lengths of a compressed RLE string: int64 (R,), starting with background.

    Raises:
        ValueError: If the string has other characters than RLE's, ends within a number or has a negative run.
    """
    # Other characters become bytes above 127, which RLE does not have.
    text = counts.encode('utf-8', 'surrogatepass') if isinstance(counts, str) else counts
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return codes
    if codes.min() < 0 or codes.max() > 63:
        raise ValueError('holds a character that compressed RLE does not have')
    last = np.flatnonzero((codes & 32) == 0)
    if last.size == 0 or last[-1] != codes.size - 1:
        raise ValueError('ends within a number')
    first = np.concatenate([[0], last[:-1] + 1])
    digits = last - first + 1
    if digits.max() > _MAX_DIGITS:
        raise ValueError('holds a number too large for a mask')
    place = np.arange(codes.size) - np.repeat(first, digits)
    runs = np.add.reduceat((codes & 31) << (5 * place), first)
    runs -= np.where(codes[last] & 16, np.int64(1) << (5 * digits), 0)  # sign of the last digit
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if runs.min() < 0:
        raise ValueError('holds a negative run length')
    return runs


def _problem(counts: str | bytes, height: int, width: int) -> str:
    """What is wrong with a string that was refused."""
    try:
        total = int(decode_counts(counts).sum())
    except ValueError as error:
        return f'compressed RLE {error}'
    return f'RLE counts sum to {total}, but the frame has {height} x {width} = {height * width} pixels'


@dataclass
class VideoMasks:
    """The masks of N tracks over T frames of one video.

    Attributes:
        areas: int64 (N, T), pixels; 0 where there is no mask.
        counts: N lists of T compressed strings or None (NumPy form only).
        starts, ends, offsets: foreground intervals as ``kernels.decode_rle`` gives them (numba form only).
        size: (h, w).
    """

    areas: np.ndarray
    size: tuple[int, int]
    counts: list[list[str | bytes | None]] | None = None
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None
    offsets: np.ndarray | None = None

    @functools.cached_property
    def total_areas(self) -> np.ndarray:
        """Sum of a track's areas: int64 (N,)."""
        return self.areas.sum(axis=1)

    @functools.cached_property
    def mean_areas(self) -> np.ndarray:
        """Mean area over the frames in which the track has one, 0 if there is none: float64 (N,)."""
        return self.total_areas / np.maximum(np.count_nonzero(self.areas, axis=1), 1)

    def intervals(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Foreground of one track whose intervals were kept: frame, start and end of each interval, int64 (R,).

        Intervals [start, end) in column-major pixel order, sorted by frame and start.
        """
        num_frames = self.areas.shape[1]
        if self.offsets is not None and self.starts is not None and self.ends is not None:
            bounds = self.offsets[row * num_frames : (row + 1) * num_frames + 1]
            frame_of = np.repeat(np.arange(num_frames), np.diff(bounds))
            kept = slice(bounds[0], bounds[-1])
            return frame_of, self.starts[kept].astype(np.int64), self.ends[kept].astype(np.int64)
        assert self.counts is not None
        frames: list[np.ndarray] = []
        starts: list[np.ndarray] = []
        ends: list[np.ndarray] = []
        for frame in np.flatnonzero(self.areas[row]).tolist():
            borders = np.cumsum(decode_counts(self.counts[row][frame]))
            end = borders[1::2]
            start = borders[0::2][: end.size]
            keep = end > start
            frames.append(np.full(np.count_nonzero(keep), frame))
            starts.append(start[keep])
            ends.append(end[keep])
        nothing = np.zeros(0, dtype=np.int64)
        frame_of, first, last = (np.concatenate([nothing, *parts]) for parts in (frames, starts, ends))
        return frame_of, first, last


def decode_masks(
    counts: Sequence[Sequence[str | bytes | None]],
    num_frames: int,
    size: tuple[int, int],
    keep: np.ndarray,
    use_numba: bool,
) -> VideoMasks:
    """Decode the compressed masks of one video's tracks.

    Args:
        counts: N tracks, each of T compressed RLE strings, None without a mask.
        num_frames: T.
        size: (h, w) of every mask.
        keep: bool (N,); only these tracks can be intersected later, of the others only the areas are kept.
        use_numba: Which of the two forms to take.

    Raises:
        RLEError: At the first string that is malformed or does not sum to h * w, ``index`` = row * T + frame.
    """
    if use_numba:
        return _decode_numba(counts, num_frames, size, keep)
    areas = np.zeros((len(counts), num_frames), dtype=np.int64)
    kept = [list(track) if keep[row] else [] for row, track in enumerate(counts)]
    for row, track in enumerate(counts):
        for frame, text in enumerate(track):
            if text is None:
                continue
            try:
                runs = decode_counts(text)
            except ValueError:
                runs = None
            if runs is None or runs.sum() != size[0] * size[1]:
                raise RLEError(row * num_frames + frame, _problem(text, *size))
            areas[row, frame] = runs[1::2].sum()
            if keep[row] and not runs[1:].all():
                kept[row][frame] = _without_empty_runs(runs, size)
    return VideoMasks(areas, size, counts=kept)


def _without_empty_runs(runs: np.ndarray, size: tuple[int, int]) -> bytes:
    """The same mask as a string of runs that are not empty, but for the first.

    pycocotools intersects masks wrongly where both have an empty run at one pixel.
    """
    from pycocotools import mask as mask_api

    borders = np.cumsum(runs)
    flips, count = np.unique(borders[:-1][borders[:-1] < borders[-1]], return_counts=True)
    flips = flips[count % 2 == 1]  # two flips at one pixel are none
    merged = np.diff(np.concatenate([[0], flips, borders[-1:]])).tolist()
    return mask_api.frPyObjects({'size': list(size), 'counts': merged}, *size)['counts']


def _decode_numba(
    counts: Sequence[Sequence[str | bytes | None]], num_frames: int, size: tuple[int, int], keep: np.ndarray
) -> VideoMasks:
    strings = [text for track in counts for text in track]
    present = np.array([text is not None for text in strings], dtype=np.bool_)
    chars, bounds = _joined(strings)
    keep = np.repeat(keep, num_frames)
    most = int(np.diff(bounds)[keep].sum()) // 2  # every second number of one digit or more is an interval
    starts, ends = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.int32)
    offsets = np.zeros(len(strings) + 1, dtype=np.int64)
    areas = np.zeros(len(strings), dtype=np.int64)
    bad = get_kernels(True).decode_rle(
        chars, bounds, present, keep, size[0] * size[1], starts, ends, offsets, areas
    )
    if bad >= 0:
        raise RLEError(bad, _problem(strings[bad], *size))
    starts, ends = starts[: offsets[-1]], ends[: offsets[-1]]
    if 2 * starts.size < most:  # don't hold memory that is not used
        starts, ends = starts.copy(), ends.copy()
    return VideoMasks(areas.reshape(len(counts), num_frames), size, starts=starts, ends=ends, offsets=offsets)


def _joined(strings: list[str | bytes | None]) -> tuple[np.ndarray, np.ndarray]:
    """All strings end to end, uint8 (C,), and where each begins, int64 (M + 1,)."""
    parts: list = ['' if text is None else text for text in strings]
    try:
        joined = ''.join(parts).encode('ascii')
    except (TypeError, UnicodeEncodeError):  # bytes among them, or what is no RLE, which stays so in UTF-8
        parts = [text.encode('utf-8', 'surrogatepass') if isinstance(text, str) else text for text in parts]
        joined = b''.join(parts)
    bounds = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, parts), dtype=np.int64, count=len(parts)), out=bounds[1:])
    return np.frombuffer(joined, dtype=np.uint8), bounds


def add_intersections(
    detections: VideoMasks, truths: VideoMasks, dets: np.ndarray, gts: np.ndarray, frames: range, total: np.ndarray
) -> None:
    """Add the pixels that rows ``dets`` (D,) and ``gts`` (G,) share in ``frames`` to ``total``.

    Args:
        total: int64 (1, D, G) for the sum over the frames, or (F, D, G) for that of each of the frames.
    """
    if detections.offsets is not None:
        get_kernels(True).add_intersections(
            detections.starts,
            detections.ends,
            detections.offsets,
            truths.starts,
            truths.ends,
            truths.offsets,
            dets,
            gts,
            detections.areas.shape[1],
            frames.start,
            frames.stop,
            total,
        )
        return
    from pycocotools import mask as mask_api

    for frame in frames:
        d_rows = np.flatnonzero(detections.areas[dets, frame])
        g_rows = np.flatnonzero(truths.areas[gts, frame])
        if d_rows.size == 0 or g_rows.size == 0:
            continue
        d_area = detections.areas[dets[d_rows], frame][:, None]
        g_area = truths.areas[gts[g_rows], frame][None, :]
        iou = mask_api.iou(
            _rles(detections, dets[d_rows], frame), _rles(truths, gts[g_rows], frame), [0] * g_rows.size
        )
        # iou = i / (a_d + a_g - i), solved for the integer i; the error is far below 1/2.
        of_frame = total[(frame - frames.start) % len(total)]
        of_frame[np.ix_(d_rows, g_rows)] += np.rint(iou * (d_area + g_area) / (1 + iou)).astype(np.int64)


def frame_intersections(ones: VideoMasks, others: VideoMasks, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Pixels that the tracks ``rows`` (A,) of one and ``columns`` (B,) of the other share in each frame.

    Returns:
        int64 (T, A, B).
    """
    num_frames = ones.areas.shape[1]
    shared = np.zeros((num_frames, rows.size, columns.size), dtype=np.int64)
    if shared.size:
        add_intersections(ones, others, rows, columns, range(num_frames), shared)
    return shared


def _rles(masks: VideoMasks, rows: np.ndarray, frame: int) -> list[dict]:
    assert masks.counts is not None
    return [{'size': list(masks.size), 'counts': masks.counts[row][frame]} for row in rows]
