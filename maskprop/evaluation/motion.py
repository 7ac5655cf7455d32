"""Where a track's masks are, and how well each one, moved, fits the next."""

from __future__ import annotations

import numpy as np

from .column_runs import ColumnRuns
from .motion_kernels import get_motion_kernels
from .rle import VideoMasks


def centroids(masks: VideoMasks, row: int) -> np.ndarray:
    """Mean (x, y) of the pixel centres of a track's mask in each frame: float64 (T, 2); (0, 0) without a mask."""
    if masks.offsets is None:
        return ColumnRuns.of_track(masks, row).centroids()
    num_frames = masks.areas.shape[1]
    sums = np.zeros((num_frames, 2))
    get_motion_kernels().add_moments(
        masks.starts, masks.ends, masks.offsets, row * num_frames, masks.size[0], sums
    )
    return sums / np.maximum(masks.areas[row], 1)[:, None]


def moved_ious(
    masks: VideoMasks, row: int, frames: np.ndarray, origin: np.ndarray, target: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """IoU of a track's mask in some frames, moved (:meth:`ColumnRuns.moved`), with its mask in the next frame.

    Args:
        frames: int64 (P,); the track has a pixel in each and in the next. origin, target: float64 (P, 2), (x, y).
        scale: float64 (P,).

    Returns:
        float64 (P,).
    """
    if masks.offsets is None:
        runs = ColumnRuns.of_track(masks, row)
        return runs.of_frames(frames).moved(origin, target, scale).ious(runs.of_frames(frames + 1))
    ious = np.zeros(frames.size)
    which = row * masks.areas.shape[1] + frames
    get_motion_kernels().moved_ious(
        masks.starts, masks.ends, masks.offsets, which, origin, target, scale, *masks.size, ious
    )
    return ious
