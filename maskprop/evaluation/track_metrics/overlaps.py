"""What HOTA, CLEAR and identity metrics are computed from: the frame IoUs of one video and class, found once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..detections import VideoDetections
from ..ground_truth import TruthVideo
from ..rle import frame_intersections

#: IoUs reach a threshold if they are less than it by no more than this, as in TrackEval.
EPS = np.finfo(np.float64).eps
#: Frame IoU from which a prediction may match, in CLEAR, identity metrics and the treatment of crowds.
MATCH_IOU = 0.5
#: Share of a prediction that must lie in a crowd for it to be ignored.
_CROWD_SHARE = 0.5


class FramePairs(NamedTuple):
    """One frame with ground truth and predictions: int64 (g,) and (d,) rows of the tracks, float64 (g, d) IoUs."""

    frame: int
    gts: np.ndarray
    dets: np.ndarray
    ious: np.ndarray


@dataclass
class TrackOverlaps:
    """Ground-truth tracks and predictions of one video and class, in file order, each with a pixel in some frame.

    Attributes:
        truths: bool (G, T), frames in which a ground truth has a pixel. found: bool (D, T), of a prediction.
        ious: float64 (T, D, G), IoU in each frame; 0 where one of the two is absent.
    """

    truths: np.ndarray
    found: np.ndarray
    ious: np.ndarray

    @cached_property
    def frames(self) -> list[FramePairs]:
        """The frames in which there is both, in order.

        IoUs are laid out by columns, so that their sums, on which it depends which of equal matches is taken, are
        TrackEval's to the last bit.
        """
        pairs = []
        for frame in np.flatnonzero(self.truths.any(axis=0) & self.found.any(axis=0)).tolist():
            gts, dets = np.flatnonzero(self.truths[:, frame]), np.flatnonzero(self.found[:, frame])
            pairs.append(FramePairs(frame, gts, dets, self.ious[frame][dets[:, None], gts].T))
        return pairs


def measure_overlaps(
    video: TruthVideo, found: VideoDetections, gts: np.ndarray, dets: np.ndarray
) -> TrackOverlaps:
    """Intersect the masks of one class in every frame; crowds ignore predictions, and are no ground truth.

    Args:
        gts: int64 (G,), rows of ``video``. dets: int64 (D,), rows of ``found``, both in file order.
    """
    truths, present = video.masks.areas[gts] > 0, found.masks.areas[dets] > 0
    gts, truths, dets, present = *_seen(gts, truths), *_seen(dets, present)
    shared = frame_intersections(found.masks, video.masks, dets, gts)
    det_areas = found.masks.areas[dets].T[:, :, None]
    union = det_areas + video.masks.areas[gts].T[:, None, :] - shared
    ious = np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)
    crowd = video.crowd[gts]
    if not crowd.any():
        return TrackOverlaps(truths, present, ious)
    overlaps = TrackOverlaps(truths[~crowd], present, ious[:, :, ~crowd])
    within = (shared[:, :, crowd] > (_CROWD_SHARE + EPS) * det_areas).any(axis=2)
    return _without(overlaps, within & ~_matched(overlaps))


def _seen(rows: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tracks that have a pixel in some frame."""
    keep = present.any(axis=1)
    return rows[keep], present[keep]


def _matched(overlaps: TrackOverlaps) -> np.ndarray:
    """Which predictions match a ground truth in each frame, by the largest sum of IoUs: bool (T, D)."""
    matched = np.zeros(overlaps.found.T.shape, dtype=np.bool_)
    for frame, _, dets, ious in overlaps.frames:
        score = np.where(ious < MATCH_IOU - EPS, 0, ious)
        rows, columns = assign(score)
        matched[frame, dets[columns[score[rows, columns] > EPS]]] = True
    return matched


def _without(overlaps: TrackOverlaps, ignored: np.ndarray) -> TrackOverlaps:
    """The overlaps where the predictions are absent from the frames of ``ignored``, bool (T, D)."""
    found = overlaps.found & ~ignored.T
    keep = found.any(axis=1)
    ious = np.where(ignored[:, :, None], 0, overlaps.ious)
    return TrackOverlaps(overlaps.truths, found[keep], ious[:, keep])


def assign(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One-to-one rows and columns of the largest summed ``score``, (g, d); of equal sums scipy's choice."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(score, maximize=True)
