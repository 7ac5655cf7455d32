"""How well clip tracks agree (MaskProp, Eq. 4): several clips with all earlier ones, and one wait for a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from maskprop.ops.soft_iou import EPS
from maskprop.structures import ClipTracks


def match_scores(
    clips: Sequence[ClipTracks], earlier: Sequence[ClipTracks], empty_below: float | None = None
) -> np.ndarray:
    """m of Eq. 4: the mean soft IoU of two tracks in the frames that the clips of both have.

    Args:
        clips: the next clips of a video, N tracks in all.
        earlier: clips before them, M tracks in all.
        empty_below: frames in which both masks have fewer cells are left out of the mean; ``None``: none are.

    Returns:
        (N, M) float32 for one clip; (N, M + N) for several, whose own tracks come after those of ``earlier``. 0
        where clips have no frame in common.
    """
    rows = _join(clips)
    columns = [*earlier, *clips] if len(clips) > 1 else [*earlier]
    shared = rows.masks.new_zeros(*rows.areas.shape, sum(map(_count, columns)))  # [F, N, M]
    areas = rows.areas.new_full((len(shared), 1, shared.shape[2]), torch.inf)
    start = 0
    for other in [*earlier, rows] if len(clips) > 1 else earlier:
        end = start + _count(other)
        first, last = max(rows.first, other.first), min(rows.end, other.end)
        if first < last:
            here, there = (slice(first - c.first, last - c.first) for c in (rows, other))
            shared[here, :, start:end] = torch.bmm(rows.masks[here], other.masks[there].mT)
            areas[here, 0, start:end] = other.areas[there]
        start = end
    found = [shared.div_((rows.areas[:, :, None] + areas).sub_(shared).clamp_(min=EPS)).sum(0)]
    if empty_below is not None:
        empty = [(part < empty_below).to(shared) for part in (rows.areas, areas[:, 0])]  # [F, N], [F, M]
        found.append(empty[0].T @ empty[1])
    total, *left_out = torch.stack(found).cpu().numpy()
    return total / np.maximum(_common_frames(clips, columns) - sum(left_out), 1)


def _count(clip: ClipTracks) -> int:
    return clip.masks.shape[1]


def _join(clips: Sequence[ClipTracks]) -> ClipTracks:
    """All tracks as those of one clip; where a track's clip has no frame its mask is 0 and its area infinite."""
    if len(clips) == 1:
        return clips[0]
    first, end = min(clip.first for clip in clips), max(clip.end for clip in clips)
    shape = (end - first, sum(map(_count, clips)), clips[0].masks.shape[2])
    masks, areas = clips[0].masks.new_zeros(shape), clips[0].areas.new_full(shape[:2], torch.inf)
    start = 0
    for clip in clips:
        place = slice(clip.first - first, clip.end - first), slice(start, start + _count(clip))
        masks[place], areas[place] = clip.masks, clip.areas
        start += _count(clip)
    return ClipTracks(first, masks, areas, [label for clip in clips for label in clip.labels])


def _common_frames(rows: Sequence[ClipTracks], columns: Sequence[ClipTracks]) -> np.ndarray:
    """(N, M) float32: how many frames the clips of two tracks have in common."""
    (row_first, row_end), (first, end) = (
        np.repeat([[c.first for c in clips], [c.end for c in clips]], [_count(c) for c in clips], 1)
        for clips in (rows, columns)
    )
    common = np.minimum(row_end[:, None], end) - np.maximum(row_first[:, None], first)
    return np.maximum(common, 0).astype(np.float32)
