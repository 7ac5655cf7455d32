"""Objects that were found in pieces: results which are one ground truth after another id, in frames of its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maskprop.analysis.video_matches import FOUND_IOU, VideoMatches
from maskprop.evaluation.detections import VideoDetections
from maskprop.evaluation.ground_truth import TruthVideo
from maskprop.evaluation.stability import COVERED_IOU, divide, frame_overlaps


class SplitTrack(NamedTuple):
    """A ground truth that results of its category share among them.

    Attributes:
        gt: row of the ground truth. pieces: results, places in ``VideoMatches.rows``; two at least. The first is
            the ground truth's match if it has one; the others by descending score.
    """

    gt: int
    pieces: list[int]


def split_tracks(video: TruthVideo, found: VideoDetections, matches: VideoMatches) -> list[SplitTrack]:
    """The ground truths of a video that were found in pieces.

    A result covers a ground truth of its category in the frames in which their IoU is .5 or more. Pieces are
    taken in turn, the match first, then by descending score: a result is one if more than half of the frames that
    it covers are covered by no piece before. Without a match, the pieces together, in each frame the best of them,
    must reach a video IoU of .5. At least one piece must be a false positive.
    """
    splits = []
    for category in np.unique(matches.categories[matches.false]).tolist():
        dets = np.flatnonzero(matches.categories == category)
        gts = np.flatnonzero((matches.truth_categories == category) & matches.counted)
        if dets.size < 2 or not gts.size:
            continue
        shared, union = frame_overlaps(video, found, matches.rows[dets], gts)
        covers = divide(shared, union) >= COVERED_IOU
        for g, gt in enumerate(gts.tolist()):
            pieces = _pieces(covers[:, :, g], np.flatnonzero(matches.match[dets] == gt))
            if len(pieces) < 2 or not matches.false[dets[pieces]].any():
                continue
            areas = video.masks.areas[gt]
            if matches.found[gt] or _joined_iou(shared[:, pieces, g], union[:, pieces, g], areas) >= FOUND_IOU:
                splits.append(SplitTrack(gt, dets[pieces].tolist()))
    return splits


def _pieces(covers: np.ndarray, match: np.ndarray) -> list[int]:
    """Which columns of ``covers``, bool (T, D), by descending score, are pieces; those of ``match`` come first."""
    order = [*match.tolist(), *(d for d in np.flatnonzero(covers.any(axis=0)).tolist() if d not in match)]
    covered = np.zeros(covers.shape[0], dtype=np.bool_)
    pieces = []
    for d in order:
        new = np.count_nonzero(covers[:, d] & ~covered)
        if 2 * new > np.count_nonzero(covers[:, d]) or d in match:
            pieces.append(d)
            covered |= covers[:, d]
    return pieces


def _joined_iou(shared: np.ndarray, union: np.ndarray, areas: np.ndarray) -> float:
    """Video IoU of the track that has the best piece in every frame.

    Args:
        shared, union: int64 (T, P). areas: int64 (T,), of the ground truth.
    """
    frames, best = np.arange(areas.size), divide(shared, union).argmax(axis=1)
    inside, whole = shared[frames, best], union[frames, best]
    whole = np.where(inside > 0, whole, areas)  # a frame that no piece reaches is left empty
    return float(inside.sum() / whole.sum()) if whole.any() else 0.0
