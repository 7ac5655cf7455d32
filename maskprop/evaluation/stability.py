"""Temporal stability of tracks, beside video AP: missed frames, smoothness, id switches, and recall with them.

from maskprop.evaluation import evaluate_stability
print(evaluate_stability(json.load(open('gt.json')), json.load(open('results.json'))).table())

docs/stability.md has the definitions. A track is visible in the frames in which its mask has a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .detections import (
    ALL_CATEGORIES,
    MIN_SCORE,
    VideoDetections,
    check_min_score,
    read_detections,
    taking_part,
)
from .ground_truth import GroundTruth, TruthVideo
from .motion import centroids, moved_ious
from .progress import progress_bar
from .rle import frame_intersections
from .stability_result import StabilityResult, TrackStability

#: A frame is missed below the first frame IoU, covered from the second on.
MISSED_IOU, COVERED_IOU = 0.1, 0.5
#: Of IoUs that differ by less (100 ranks of this), the higher score wins the match.
_RANK_COST = 1e-13


def evaluate_stability(
    gt: dict | GroundTruth,
    results: list[dict],
    *,
    class_agnostic: bool = False,
    min_score: float = MIN_SCORE,
    backend: str = 'auto',
    gt_name: str = 'ground truth',
    results_name: str = 'results',
) -> StabilityResult:
    """Temporal stability of results against ground truth.

    Args:
        gt: A parsed YouTube-VIS annotation file, or a ``GroundTruth``.
        results: A parsed submission, which may be empty; records may carry ``track_id``.
        class_agnostic: Take all categories as one; of records of one ``track_id``, the best-scored.
        min_score: Predictions of a lower score take no part, nor do those that video AP does not count (100 per
            video and category).
        backend: 'auto' (numba if it can be imported), 'numba' or 'numpy'; equal results.
        gt_name, results_name: File names for messages.

    Raises:
        EvalInputError: If either cannot be evaluated.
        ValueError: If ``min_score`` is not finite.
    """
    truth = gt if isinstance(gt, GroundTruth) else GroundTruth.from_dict(gt, gt_name, backend)
    detections = read_detections(truth, results, results_name, class_agnostic, allow_empty=True)
    return measure_stability(truth, detections, class_agnostic, min_score)


def measure_stability(
    truth: GroundTruth,
    detections: list[VideoDetections],
    class_agnostic: bool = False,
    min_score: float = MIN_SCORE,
) -> StabilityResult:
    """``evaluate_stability`` of results that were read with the same ``class_agnostic``."""
    min_score = check_min_score(min_score)
    tracks: list[TrackStability] = []
    num_predictions = 0
    with progress_bar(len(truth.videos), 'stability', 'video') as bar:
        for video, found in zip(truth.videos, detections, strict=True):
            rows = {group: taking_part(found, group, min_score) for group in found.groups}
            num_predictions += sum(dets.size for dets in rows.values())
            for group, gts in _truth_groups(video, class_agnostic):
                tracks += _measure_group(video, found, rows.get(group, gts[:0]), gts)
            bar.update()
    return StabilityResult(tracks, min_score, num_predictions)


def _truth_groups(video: TruthVideo, class_agnostic: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Category, or ``ALL_CATEGORIES``, and rows of the tracks to find, int64 (G,)."""
    counted = ~video.crowd & (video.masks.areas > 0).any(axis=1)
    if class_agnostic:
        yield ALL_CATEGORIES, np.flatnonzero(counted)
        return
    for category in np.unique(video.categories[counted]).tolist():
        yield category, np.flatnonzero(counted & (video.categories == category))


def _measure_group(
    video: TruthVideo, found: VideoDetections, dets: np.ndarray, gts: np.ndarray
) -> Iterator[TrackStability]:
    """The tracks ``gts`` (G,), that may be found as ``dets`` (D,), by descending score."""
    shared, union = frame_overlaps(video, found, dets, gts)
    frame_ious = divide(shared, union)
    matches = match_tracks(divide(shared.sum(axis=0), union.sum(axis=0)))
    for g, row in enumerate(gts.tolist()):
        visible = video.masks.areas[row] > 0
        switches, covered = count_switches(frame_ious[:, :, g], found.identities[dets])
        counts: dict[str, Any] = dict(matched=0, spanned=0, missed=0, pairs=0, moved_iou=0.0, truth_moved_iou=0.0)
        if g in matches:
            det = matches[g]
            present = found.masks.areas[dets[det]] > 0
            first, last = np.flatnonzero(present)[[0, -1]].tolist()
            spanned = visible[first : last + 1]
            missed = spanned & (frame_ious[first : last + 1, det, g] < MISSED_IOU)
            counts.update(matched=1, spanned=int(spanned.sum()), missed=int(missed.sum()))
            counts.update(_smoothness(video, found, row, int(dets[det]), visible & present))
        yield TrackStability(
            video_id=video.id,
            category_id=int(video.categories[row]),
            visible=int(visible.sum()),
            covered=covered,
            switches=switches,
            **counts,
        )


def frame_overlaps(
    video: TruthVideo, found: VideoDetections, dets: np.ndarray, gts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in the intersection and in the union of each detection and ground truth in each frame.

    Args:
        dets: int64 (D,), gts: int64 (G,), rows.

    Returns:
        two int64 (T, D, G).
    """
    shared = frame_intersections(found.masks, video.masks, dets, gts)
    union = found.masks.areas[dets].T[:, :, None] + video.masks.areas[gts].T[:, None, :] - shared
    return shared, union


def divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part`` / ``whole``, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)


def match_tracks(ious: np.ndarray) -> dict[int, int]:
    """One-to-one matches of highest summed video IoU, of those above 0.

    Args:
        ious: float64 (D, G), predictions by descending score; of equals the earlier is taken.

    Returns:
        {ground truth: prediction}.
    """
    from scipy.optimize import linear_sum_assignment

    gain = ious - _RANK_COST * np.arange(ious.shape[0])[:, None]
    dets, gts = linear_sum_assignment(np.where(ious > 0, gain, 0.0), maximize=True)
    return {g: d for d, g in zip(dets.tolist(), gts.tolist(), strict=True) if ious[d, g] > 0}


def count_switches(frame_ious: np.ndarray, identities: np.ndarray) -> tuple[int, int]:
    """Changes of the id that covers one ground truth, and the frames in which one does.

    The id of a frame is that of the prediction of highest frame IoU, if that is .5 or more; of equal ones, the id
    of the last covered frame, else that of the highest score. Frames without one are passed over.

    Args:
        frame_ious: float64 (T, D), predictions by descending score. identities: int64 (D,).
    """
    best = frame_ious.max(axis=1, initial=0.0)
    covered = np.flatnonzero(best >= COVERED_IOU)
    switches, current = 0, -1
    for frame in covered.tolist():
        ids = identities[frame_ious[frame] == best[frame]]
        if current in ids:
            continue
        switches += current >= 0
        current = int(ids[0])
    return switches, covered.size


def _smoothness(
    video: TruthVideo, found: VideoDetections, gt: int, det: int, both: np.ndarray
) -> dict[str, float]:
    """``pairs``, ``moved_iou`` and ``truth_moved_iou`` of a ground truth and its match, visible in ``both``."""
    before = np.flatnonzero(both[:-1] & both[1:])
    areas = video.masks.areas[gt]
    centres = centroids(video.masks, gt)
    motion = centres[before], centres[before + 1], np.sqrt(areas[before + 1] / np.maximum(areas[before], 1))
    moved = moved_ious(found.masks, det, before, *motion), moved_ious(video.masks, gt, before, *motion)
    return dict(pairs=before.size, moved_iou=float(moved[0].sum()), truth_moved_iou=float(moved[1].sum()))
