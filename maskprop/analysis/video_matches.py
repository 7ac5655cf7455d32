"""Which result of a video is which object at video IoU .5, by the rule of video AP, for all categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskprop.evaluation.detections import VideoDetections
from maskprop.evaluation.ground_truth import GroundTruth, TruthVideo
from maskprop.evaluation.matching import video_ious
from maskprop.evaluation.progress import progress_bar

#: A result is right from this video IoU on.
FOUND_IOU = 0.5


@dataclass
class VideoMatches:
    """The results of one video that video AP counts, D, and its G ground truths, in file order.

    Attributes:
        index: of the video in ``GroundTruth.videos``.
        rows: int64 (D,), of the results, by category, then by descending score.
        categories: int64 (D,). scores: float64 (D,).
        ious: float64 (D, G), over the whole video.
        match: int64 (D,), the ground truth that a result is, -1 for a false positive.
        ignored: bool (D,), results that are a crowd: neither right nor wrong.
        truth_categories: int64 (G,). counted: bool (G,), ground truths to find, all but crowds.
    """

    index: int
    rows: np.ndarray
    categories: np.ndarray
    scores: np.ndarray
    ious: np.ndarray
    match: np.ndarray
    ignored: np.ndarray
    truth_categories: np.ndarray
    counted: np.ndarray

    @property
    def false(self) -> np.ndarray:
        """bool (D,): false positives."""
        return (self.match < 0) & ~self.ignored

    @property
    def found(self) -> np.ndarray:
        """bool (G,): ground truths that a result is."""
        return self.counted & np.isin(np.arange(self.counted.size), self.match)


def match_videos(truth: GroundTruth, detections: list[VideoDetections]) -> list[VideoMatches]:
    """Match every video.

    Args:
        detections: read with ``keep_all=True``.
    """
    with progress_bar(len(truth.videos), 'matching', 'video') as bar:
        matches = []
        for index, (video, found) in enumerate(zip(truth.videos, detections, strict=True)):
            matches.append(_match_video(index, video, found))
            bar.update()
    return matches


def _match_video(index: int, video: TruthVideo, found: VideoDetections) -> VideoMatches:
    nothing = np.zeros(0, dtype=np.int64)
    rows = np.concatenate([nothing, *(found.groups[category] for category in sorted(found.groups))])
    categories, gts = found.categories[rows], np.arange(video.categories.size)
    ious = video_ious(video, found, rows, gts)
    match, ignored = np.full(rows.size, -1), np.zeros(rows.size, dtype=np.bool_)
    for category in np.unique(categories).tolist():
        dets, same = np.flatnonzero(categories == category), np.flatnonzero(video.categories == category)
        matched = match_tracks_by_score(ious[np.ix_(dets, same)], video.crowd[same])
        hit = matched >= 0
        match[dets[hit]] = same[matched[hit]]
    hit = match >= 0
    ignored[hit] = video.crowd[match[hit]]
    match[ignored] = -1
    return VideoMatches(
        index, rows, categories, found.scores[rows], ious, match, ignored, video.categories, ~video.crowd
    )


def match_tracks_by_score(ious: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """int64 (D,): the ground truth that each result takes, -1 for none; the rule of ``kernels.match``.

    Args:
        ious: float64 (D, G), results by descending score. crowd: bool (G,).
    """
    match = np.full(ious.shape[0], -1)
    taken = np.zeros(crowd.size, dtype=np.bool_)
    for d in np.flatnonzero((ious >= FOUND_IOU).any(axis=1)):
        fits = (ious[d] >= FOUND_IOU) & ~(taken & ~crowd)
        fits = fits & ~crowd if (fits & ~crowd).any() else fits
        if fits.any():
            best = np.flatnonzero(fits & (ious[d] == ious[d][fits].max()))[-1]  # of equals the last
            match[d], taken[best] = best, True
    return match
