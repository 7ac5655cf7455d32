"""What HOTA, CLEAR and identity metrics are computed from: the frame IoUs of one video and class, found once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..detections import VideoDetections
from ..ground_truth import TruthVideo
from ..rle import frame_intersections

#: IoUs reach a threshold if they are less than it by no more than this, as in TrackEval.
EPS = np.finfo(np.float64).eps
#: Frame IoU from which a prediction may match, in CLEAR, identity metrics and the treatment of crowds.
MATCH_IOU = 0.5
#: Stands for "no prediction" in the matches of a frame.
NONE = -1
#: Share of a prediction that must lie in a crowd for it to be ignored.
_CROWD_SHARE = 0.5


@dataclass
class TrackOverlaps:
    """Ground-truth tracks and predictions of one video and class, in file order, each with a pixel in some frame.

    Attributes:
        truths: bool (G, T), frames in which a ground truth has a pixel. found: bool (D, T), of a prediction.
        ious: float64 (T, D, G), IoU in each frame; 0 where one of the two is absent.
        use_numba: which form the kernels take; equal results.
    """

    truths: np.ndarray
    found: np.ndarray
    ious: np.ndarray
    use_numba: bool = False

    def match_frames(self, scores: np.ndarray) -> np.ndarray:
        """One-to-one matches of the largest summed score in each frame.

        Args:
            scores: float64 (T, D, G), 0 where there can be no match.

        Returns:
            int64 (T, G), the prediction matched to each ground truth, or ``NONE``.
        """
        matches, unclear = self.nearest(scores)
        for frame in np.flatnonzero(unclear).tolist():
            matches[frame] = self.match_frame(frame, scores[frame])
        return matches

    @staticmethod
    def nearest(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The prediction of highest score of each ground truth, int64 (T, G), and where that may be no match.

        That is bool (T,): a prediction has a score with several ground truths, or two have the highest score.
        """
        if not scores.size:
            return np.full(scores.shape[::2], NONE), np.zeros(len(scores), np.bool_)
        best, possible = scores.max(axis=1), scores > 0
        equal = np.count_nonzero(possible & (scores == best[:, None]), axis=1) > 1
        unclear = equal.any(axis=1) | (np.count_nonzero(possible, axis=2) > 1).any(axis=1)
        return np.where(best > 0, scores.argmax(axis=1), NONE), unclear

    def match_frame(self, frame: int, scores: np.ndarray) -> np.ndarray:
        """The same for one frame of any scores, float64 (D, G), by the Hungarian method: int64 (G,).

        Of equal sums scipy chooses. It is asked of the tracks in the frame only, as TrackEval does.
        """
        from scipy.optimize import linear_sum_assignment

        gts, dets = np.flatnonzero(self.truths[:, frame]), np.flatnonzero(self.found[:, frame])
        rows, columns = linear_sum_assignment(scores[dets[:, None], gts].T, maximize=True)
        gts, dets = gts[rows], dets[columns]
        matches = np.full(len(self.truths), NONE)
        matches[gts] = np.where(scores[dets, gts] > 0, dets, NONE)
        return matches


def measure_overlaps(
    video: TruthVideo, found: VideoDetections, gts: np.ndarray, dets: np.ndarray, use_numba: bool = False
) -> TrackOverlaps:
    """Intersect the masks of one class in every frame; crowds ignore predictions, and are no ground truth.

    Args:
        gts: int64 (G,), rows of ``video``. dets: int64 (D,), rows of ``found``, both in file order.
    """
    truths, present = video.masks.areas[gts] > 0, found.masks.areas[dets] > 0
    gts, truths, dets, present = *_seen(gts, truths), *_seen(dets, present)
    if not gts.size or not dets.size:  # most classes of a video
        truths = truths[~video.crowd[gts]]
        return TrackOverlaps(truths, present, np.zeros((video.length, len(present), len(truths))), use_numba)
    shared = frame_intersections(found.masks, video.masks, dets, gts)
    det_areas = found.masks.areas[dets].T[:, :, None]
    union = det_areas + video.masks.areas[gts].T[:, None, :] - shared
    ious = np.divide(shared, union, out=np.zeros(shared.shape), where=union > 0)
    crowd = video.crowd[gts]
    if not crowd.any():
        return TrackOverlaps(truths, present, ious, use_numba)
    overlaps = TrackOverlaps(truths[~crowd], present, ious[:, :, ~crowd], use_numba)
    within = (shared[:, :, crowd] > (_CROWD_SHARE + EPS) * det_areas).any(axis=2)
    return _without(overlaps, within & ~_matched(overlaps))


def _seen(rows: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tracks that have a pixel in some frame."""
    keep = present.any(axis=1)
    return rows[keep], present[keep]


def above(ious: np.ndarray) -> np.ndarray:
    """The IoUs that suffice for a match, 0 for the others."""
    return np.where(ious < MATCH_IOU - EPS, 0, ious)


def _matched(overlaps: TrackOverlaps) -> np.ndarray:
    """Which predictions match a ground truth in each frame, by the largest sum of IoUs: bool (T, D)."""
    matched = np.zeros(overlaps.found.T.shape, dtype=np.bool_)
    matches = overlaps.match_frames(above(overlaps.ious))
    frames, gts = np.nonzero(matches != NONE)
    matched[frames, matches[frames, gts]] = True
    return matched


def _without(overlaps: TrackOverlaps, ignored: np.ndarray) -> TrackOverlaps:
    """The overlaps where the predictions are absent from the frames of ``ignored``, bool (T, D)."""
    found = overlaps.found & ~ignored.T
    keep = found.any(axis=1)
    ious = np.where(ignored[:, :, None], 0, overlaps.ious)
    return TrackOverlaps(overlaps.truths, found[keep], ious[:, keep], overlaps.use_numba)
