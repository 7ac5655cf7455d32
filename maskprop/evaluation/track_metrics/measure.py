"""HOTA, CLEAR and identity metrics of a set: video by video, on masks intersected once for all three."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..detections import (
    ALL_CATEGORIES,
    MIN_SCORE,
    VideoDetections,
    check_min_score,
    read_detections,
    taking_part,
)
from ..ground_truth import GroundTruth, TruthVideo
from ..progress import progress_bar
from .overlaps import measure_overlaps
from .result import KINDS, TrackResult


def evaluate_tracks(
    gt: dict | GroundTruth,
    results: list[dict],
    kinds: Sequence[str] = tuple(KINDS),
    *,
    class_agnostic: bool = False,
    min_score: float = MIN_SCORE,
    backend: str = 'auto',
    gt_name: str = 'ground truth',
    results_name: str = 'results',
) -> TrackResult:
    """HOTA, CLEAR and identity metrics of results against ground truth. A record of the results is a track.

    Args:
        gt: A parsed YouTube-VIS annotation file, or a ``GroundTruth``.
        results: A parsed submission, which may be empty.
        kinds: Which, of ``KINDS``.
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
    return measure_tracks(truth, detections, kinds, class_agnostic, min_score)


def measure_tracks(
    truth: GroundTruth,
    detections: list[VideoDetections],
    kinds: Sequence[str],
    class_agnostic: bool = False,
    min_score: float = MIN_SCORE,
    keep_videos: bool = False,
) -> TrackResult:
    """``evaluate_tracks`` of results that were read with the same ``class_agnostic``.

    Args:
        keep_videos: give what each video has by itself too, in ``TrackResult.videos``.
    """
    result = TrackResult(tuple(kinds), truth.categories, class_agnostic, check_min_score(min_score))
    result.videos = [] if keep_videos else None
    with progress_bar(len(truth.videos), ', '.join(kinds), 'video') as bar:
        for video, found in zip(truth.videos, detections, strict=True):
            part = result.empty()
            for group, gts, dets in _groups(video, found, class_agnostic, min_score):
                part.count(group, measure_overlaps(video, found, gts, dets, truth.use_numba), dets.size)
            result.add(part)
            if result.videos is not None:
                result.videos.append(part)
            bar.update()
    return result


def _groups(
    video: TruthVideo, found: VideoDetections, class_agnostic: bool, min_score: float
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each class of a video with its rows of ground truths, crowds too, and of predictions, both in file order."""
    dets = {group: np.sort(taking_part(found, group, min_score)) for group in found.groups}
    nothing = np.zeros(0, dtype=np.int64)
    if class_agnostic:
        yield ALL_CATEGORIES, np.arange(video.categories.size), dets.get(ALL_CATEGORIES, nothing)
        return
    for category in sorted({*video.categories.tolist(), *dets}):
        yield category, np.flatnonzero(video.categories == category), dets.get(category, nothing)
