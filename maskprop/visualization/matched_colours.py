"""Tracks of several methods numbered alike, so that the same object has the same colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from pycocotools import mask as mask_utils
from scipy.optimize import linear_sum_assignment

from maskprop.datasets.rle import compress, is_absent
from maskprop.visualization.tracks import Track

MIN_IOU = 0.3  # where both tracks are present: below it they are not the same object


def match_colours(
    rows: Mapping[str, Sequence[Track]], size: tuple[int, int], min_iou: float = MIN_IOU
) -> dict[str, list[Track]]:
    """Number the tracks of every method so that those of one object have one number.

    The first method's tracks are numbered from 1, in the order of their first frames. Each further method's are
    matched with all numbers so far, one to one, so that the sum of the IoUs over the whole video is largest; a
    pair may match if its IoU over the frames that have both is ``min_iou`` or more. What is left gets new numbers.

    Args:
        rows: method -> its tracks of one video.
        size: (height, width) of the video in pixels.

    Returns:
        the same tracks, in the order of the numbers in ``id``.
    """
    known: dict[int, list[Track]] = {}  # number -> tracks
    numbered: dict[str, list[Track]] = {}
    for title, tracks in rows.items():
        ordered = sorted(tracks, key=_first_frame)
        numbers = _matched_numbers(ordered, known, size, min_iou)
        following = max(known, default=0) + 1
        for row, track in enumerate(ordered):
            if row not in numbers:
                numbers[row], following = following, following + 1
            known.setdefault(numbers[row], []).append(track)
        numbered[title] = sorted(
            (replace(track, id=numbers[row]) for row, track in enumerate(ordered)), key=lambda track: track.id
        )
    return numbered


def _matched_numbers(
    tracks: Sequence[Track], known: Mapping[int, Sequence[Track]], size: tuple[int, int], min_iou: float
) -> dict[int, int]:
    """Number by row of ``tracks``, for those that match."""
    numbers = list(known)
    gain = np.zeros((len(tracks), len(numbers)))
    for row, track in enumerate(tracks):
        for column, number in enumerate(numbers):
            pairs = [track_ious(track, other, size) for other in known[number]]
            gain[row, column] = max((whole for whole, common in pairs if common >= min_iou), default=0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return {int(r): numbers[c] for r, c in zip(rows, columns, strict=True) if gain[r, c] > 0}


def track_ious(a: Track, b: Track, size: tuple[int, int]) -> tuple[float, float]:
    """IoU of two tracks over the whole video, and over the frames that have both (0 if there is none)."""
    shared = total = common = 0.0
    for mask, other in zip(a.segmentations, b.segmentations, strict=True):
        present = [compress(m, *size) for m in (mask, other) if not is_absent(m)]
        areas = [float(mask_utils.area(rle)) for rle in present]
        if len(present) < 2:
            total += sum(areas)
            continue
        inside = float(mask_utils.area(mask_utils.merge(present, intersect=True)))
        shared, total, common = shared + inside, total + sum(areas) - inside, common + sum(areas) - inside
    return (shared / total if total else 0.0), (shared / common if common else 0.0)


def _first_frame(track: Track) -> int:
    return next((t for t, mask in enumerate(track.segmentations) if not is_absent(mask)), len(track.segmentations))
