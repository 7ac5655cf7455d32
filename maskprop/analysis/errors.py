"""Why results are wrong, by the kinds of TIDE (Bolya et al., ECCV 2020) on video IoU, with id errors beside them.

docs/analysis.md has the definitions. Everything is at video IoU .5, where a result is right; below .1 it is
background. On videos of one frame there are no id errors, and kinds and gains are those of TIDE on images.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from maskprop.analysis.id_errors import SplitTrack, split_tracks
from maskprop.analysis.video_matches import FOUND_IOU, VideoMatches
from maskprop.evaluation.detections import VideoDetections
from maskprop.evaluation.ground_truth import GroundTruth
from maskprop.evaluation.kernels import FALSE_POSITIVE, TRUE_POSITIVE, get_kernels
from maskprop.evaluation.video_ap import RECALL_THRESHOLDS

BACKGROUND_IOU = 0.1
KINDS = ('class', 'localisation', 'both', 'duplicate', 'background', 'id', 'missed')
MEANING = {
    'class': 'would be right under another class',
    'localisation': 'the right class, but a video IoU of only .1 to .5',
    'both': 'another class, and a video IoU of only .1 to .5',
    'duplicate': 'of an object that a result of a higher score has found already',
    'background': 'no object at all (video IoU below .1)',
    'id': 'a piece of an object that several ids share: a split or switched track',
    'missed': 'an object that nothing found, not even with a wrong class, mask or id',
}


@dataclass
class VideoErrors:
    """What is wrong in one video.

    Attributes:
        matches: of the video.
        kind: D entries: of ``KINDS``; '' for a result that is right or ignored.
        target: int64 (D,), the ground truth that a result would be if its error was corrected, -1: removed.
        truth_kind: G entries: '' found or a crowd; 'missed'; else the kind of the error that hides it.
        splits: the ground truths that were found in pieces.
    """

    matches: VideoMatches
    kind: list[str]
    target: np.ndarray
    truth_kind: list[str]
    splits: list[SplitTrack] = field(default_factory=list)


def find_errors(
    truth: GroundTruth, detections: list[VideoDetections], matches: list[VideoMatches]
) -> list[VideoErrors]:
    """The errors of every video."""
    triples = zip(truth.videos, detections, matches, strict=True)
    return [_video_errors(found, split_tracks(video, of_video, found)) for video, of_video, found in triples]


def _video_errors(matches: VideoMatches, splits: list[SplitTrack]) -> VideoErrors:
    size = matches.rows.size
    errors = VideoErrors(matches, [''] * size, np.full(size, -1), [''] * matches.counted.size, splits)
    candidates: dict[int, list[int]] = {}  # ground truth: results that would be it
    for d in np.flatnonzero(matches.false).tolist():
        errors.kind[d], gt = _kind(matches, d)
        if gt >= 0 and not matches.found[gt]:
            candidates.setdefault(gt, []).append(d)
    _mark_splits(errors, candidates)
    for gt in np.flatnonzero(matches.counted & ~matches.found).tolist():
        if errors.truth_kind[gt]:
            continue
        free = [d for d in candidates.get(gt, ()) if errors.kind[d] != 'id']
        if free:
            best = max(free, key=lambda d: matches.scores[d])  # of equals the first
            errors.target[best], errors.truth_kind[gt] = gt, errors.kind[best]
        else:
            errors.truth_kind[gt] = 'missed'
    return errors


def _kind(matches: VideoMatches, d: int) -> tuple[str, int]:
    """The kind of a false positive, and the ground truth that it misses by that, -1: none."""
    same = matches.counted & (matches.truth_categories == matches.categories[d])
    other = matches.counted & ~same
    if not matches.counted.any():
        return 'background', -1
    ious = matches.ious[d]
    right, wrong = np.where(same, ious, -1.0), np.where(other, ious, -1.0)
    if BACKGROUND_IOU <= right.max() < FOUND_IOU:
        return 'localisation', int(right.argmax())
    if wrong.max() >= FOUND_IOU:
        return 'class', int(wrong.argmax())
    if right.max() >= FOUND_IOU:
        return 'duplicate', -1
    return ('background' if wrong.max() <= BACKGROUND_IOU else 'both'), -1


def _mark_splits(errors: VideoErrors, candidates: dict[int, list[int]]) -> None:
    """Give the false positives among the pieces their kind, and to each ground truth one that would be it."""
    matches = errors.matches
    for split in errors.splits:
        wrong = [d for d in split.pieces if matches.false[d]]
        for d in wrong:
            errors.kind[d] = 'id'
        free = [d for d in wrong if errors.target[d] < 0]
        if free and not matches.found[split.gt]:
            best = max(free, key=lambda d: matches.scores[d])
            errors.target[best], errors.truth_kind[split.gt] = split.gt, 'id'


@dataclass
class ErrorSummary:
    """Counts and gains over all videos.

    Attributes:
        ap50: video AP at IoU .5, 0..1, that of the metric.
        counts: {kind: results, or ground truths for 'missed'}.
        gains: {kind: AP50 without these errors, less ``ap50``}.
        by_category: {category id: {kind: count}}, of categories that have any; by the result's category.
    """

    ap50: float
    counts: dict[str, int]
    gains: dict[str, float]
    by_category: dict[int, dict[str, int]]


@dataclass
class _Entries:
    """All counted results, by category, video and rank: what AP is made of."""

    category: np.ndarray
    score: np.ndarray
    right: np.ndarray
    kind: np.ndarray  # of str
    target_category: np.ndarray  # -1: none


def summarize_errors(truth: GroundTruth, errors: list[VideoErrors]) -> ErrorSummary:
    """Count the errors, and compute AP50 without those of each kind.

    Corrected, an error of class, localisation or id becomes a right result of its ground truth, with its score,
    if it is the best of those that would be that ground truth; all other results of the kind go. Without the
    missed ones, there are fewer ground truths.
    """
    entries = _collect(errors)
    num_gts = dict.fromkeys(truth.categories, 0)
    counts = dict.fromkeys(KINDS, 0)
    by_category: dict[int, dict[str, int]] = {}

    def count(category: int, kind: str) -> None:
        counts[kind] += 1
        of_category = by_category.setdefault(category, dict.fromkeys(KINDS, 0))
        of_category[kind] += 1

    for category, kind in zip(entries.category.tolist(), entries.kind.tolist(), strict=True):
        if kind:
            count(category, kind)
    for video in errors:
        for gt in np.flatnonzero(video.matches.counted).tolist():
            category = int(video.matches.truth_categories[gt])
            num_gts[category] += 1
            if video.truth_kind[gt] == 'missed':
                count(category, 'missed')
    wanted = {category: number for category, number in num_gts.items() if number}
    ap50 = _mean_ap(entries, wanted, truth.use_numba)
    gains = {}
    for kind in KINDS:
        left = dict(wanted)
        for category in left if kind == 'missed' else ():
            left[category] -= by_category.get(category, {}).get('missed', 0)
        gains[kind] = _mean_ap(_without(entries, kind), left, truth.use_numba) - ap50
    return ErrorSummary(ap50, counts, gains, by_category)


def _collect(errors: list[VideoErrors]) -> _Entries:
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    for video in errors:
        matches, kept = video.matches, ~video.matches.ignored
        target = np.where(video.target >= 0, np.append(matches.truth_categories, -1)[video.target], -1)
        whole = (matches.categories, matches.scores, matches.match >= 0, np.array(video.kind, dtype='U16'), target)
        for column, values in zip(columns, whole, strict=True):
            column.append(values[kept])
    joined = [np.concatenate(column) for column in columns]
    order = np.argsort(joined[0], kind='stable')
    return _Entries(*(column[order] for column in joined))


def _without(entries: _Entries, kind: str) -> _Entries:
    mended = (entries.kind == kind) & (entries.target_category >= 0)
    kept = (entries.kind != kind) | mended
    category = np.where(mended, entries.target_category, entries.category)
    columns = (category, entries.score, entries.right | mended, entries.kind, entries.target_category)
    return _Entries(*(column[kept] for column in columns))


def _mean_ap(entries: _Entries, num_gts: dict[int, int], use_numba: bool) -> float:
    """Mean AP at one threshold; a category without anything left to find counts 0 if it has results, else not."""
    values = []
    for category, number in num_gts.items():
        rows = np.flatnonzero(entries.category == category)
        if number or rows.size:
            values.append(_average_precision(entries, rows, number, use_numba) if number else 0.0)
    return float(np.mean(values)) if values else 0.0


def _average_precision(entries: _Entries, rows: np.ndarray, num_gts: int, use_numba: bool) -> float:
    rows = rows[np.argsort(-entries.score[rows], kind='stable')]
    state = np.where(entries.right[rows], TRUE_POSITIVE, FALSE_POSITIVE).astype(np.uint8)[None]
    once, zeros = np.ones(1, dtype=np.int64), np.zeros(rows.size, dtype=np.int64)
    blocks = np.array([0, rows.size] if rows.size else [0], dtype=np.int64)
    precision, recall = np.zeros((1, RECALL_THRESHOLDS.size)), np.zeros(1)
    kernel = get_kernels(use_numba).precision_recall
    kernel(state, zeros, zeros, blocks, once, 1, num_gts, RECALL_THRESHOLDS, precision, recall)
    return float(precision.mean())
